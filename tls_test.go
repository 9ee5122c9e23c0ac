package huddle

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

func TestAChangedCertificateIsReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		cfg := Config{TLSCert: filepath.Join(dir, "cert"), TLSKey: filepath.Join(dir, "key"), Logger: slog.New(slog.DiscardHandler)}
		writePair(t, cfg, 1)
		config, err := cfg.tlsConfig()
		if err != nil {
			t.Fatal(err)
		}
		checkSerial(t, config, 1)

		writePair(t, cfg, 2)
		time.Sleep(2 * recheck)
		checkSerial(t, config, 2)

		// Half of a pair is there for a moment.
		if err := os.WriteFile(cfg.TLSCert, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * recheck)
		checkSerial(t, config, 2)

		writePair(t, cfg, 3)
		time.Sleep(2 * recheck)
		checkSerial(t, config, 3)
	})
}

// writePair writes a certificate of the serial number and its key. The files'
// times differ from those of any other serial number.
func writePair(t *testing.T, cfg Config, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		cfg.TLSCert: {Type: "CERTIFICATE", Bytes: cert},
		cfg.TLSKey:  {Type: "PRIVATE KEY", Bytes: der},
	} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, time.Time{}, time.Unix(serial, 0)); err != nil {
			t.Fatal(err)
		}
	}
}

func checkSerial(t *testing.T, config *tls.Config, want int64) {
	t.Helper()
	pair, err := config.GetCertificate(&tls.ClientHelloInfo{})
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	if got := cert.SerialNumber.Int64(); got != want {
		t.Errorf("got certificate %d, want %d", got, want)
	}
}
