package huddle

import (
	"crypto/tls"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// A certificate is a pair of files that is read again when it changes, so
// that a renewed one needs no restart.
type certificate struct {
	certFile, keyFile string
	logger            *slog.Logger

	pair atomic.Pointer[tls.Certificate]

	looking sync.Mutex // held by the one handshake that looks at the files; the others don't wait for it
	looked  time.Time
	changed [2]time.Time // of the files, when they were last read
}

// recheck is how often the files are looked at, at most.
const recheck = time.Second

// tlsConfig returns the configuration of client listeners, nil without TLS.
func (c Config) tlsConfig() (*tls.Config, error) {
	if c.TLSCert == "" {
		return nil, nil
	}
	cert := &certificate{certFile: c.TLSCert, keyFile: c.TLSKey, logger: c.Logger}
	cert.changed = cert.modified()
	if err := cert.load(); err != nil {
		return nil, &SettingError{Field: "TLSCert", Err: err}
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: cert.get}, nil
}

// get returns the newest pair that could be read. One that is half written is
// passed over until it changes again.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if c.looking.TryLock() {
		c.look()
		c.looking.Unlock()
	}
	return c.pair.Load(), nil
}

func (c *certificate) look() {
	if time.Since(c.looked) < recheck {
		return
	}
	c.looked = time.Now()
	changed := c.modified()
	if changed == c.changed {
		return
	}
	c.changed = changed
	if err := c.load(); err != nil {
		c.logger.Warn("the changed certificate cannot be used, the former one stays", slog.Any("error", err))
	}
}

func (c *certificate) modified() (times [2]time.Time) {
	for i, name := range []string{c.certFile, c.keyFile} {
		if info, err := os.Stat(name); err == nil {
			times[i] = info.ModTime()
		}
	}
	return times
}

func (c *certificate) load() error {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return err
	}
	c.pair.Store(&pair)
	return nil
}
