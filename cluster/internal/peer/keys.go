package peer

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// keySize is the length of a cluster key, and of all that is derived from it.
const keySize = 32

// What is derived from a cluster key, as HKDF's info (RFC 5869, SHA-256, no
// salt). The texts are part of the format.
const (
	infoGossip    = "huddle gossip 1"
	infoAuthority = "huddle certificate authority 1"
)

// GossipKey returns the 32 bytes with which gossip is encrypted under a
// cluster key.
func GossipKey(key []byte) []byte { return derive(key, infoGossip) }

// derive returns keySize bytes that tell nothing of key nor of what is
// derived for another purpose.
func derive(key []byte, info string) []byte {
	out, err := hkdf.Key(sha256.New, key, nil, info, keySize)
	if err != nil {
		panic(fmt.Sprintf("peer: deriving %d bytes: %v", keySize, err)) // only a wrong length can do it
	}
	return out
}

// A clusterKey is the certificate authority of one cluster key. It is the
// same on every node that has the key, so no certificate of the authority
// itself is ever made or sent: its public key is known.
type clusterKey struct {
	private ed25519.PrivateKey
	public  ed25519.PublicKey
}

func newClusterKey(key []byte) clusterKey {
	private := ed25519.NewKeyFromSeed(derive(key, infoAuthority))
	return clusterKey{private: private, public: private.Public().(ed25519.PublicKey)}
}

// Certificates hold for all time: a node whose clock is wrong must not be
// shut out, and what is trusted is the key.
var (
	validFrom  = time.Unix(0, 0).UTC()
	validUntil = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
)

// issue makes a key pair for the node id and certifies it under every key.
// All certificates are sent, the one under the first key in front: so a node
// that has [new, old] is understood by one that still has only [old].
func issue(keys []clusterKey, id string) (tls.Certificate, error) {
	if !validID(id) {
		return tls.Certificate{}, fmt.Errorf("peer: ID: %q is no server ID", id)
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("making the node's key: %w", err)
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: id},
		URIs:        []*url.URL{{Scheme: scheme, Host: id}},
		NotBefore:   validFrom,
		NotAfter:    validUntil,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	authority := &x509.Certificate{Subject: pkix.Name{CommonName: "huddle cluster key"}}
	cert := tls.Certificate{PrivateKey: private}
	for _, key := range keys {
		der, err := x509.CreateCertificate(rand.Reader, template, authority, public, key.private)
		if err != nil {
			return tls.Certificate{}, fmt.Errorf("issuing the node's certificate: %w", err)
		}
		cert.Certificate = append(cert.Certificate, der)
	}
	return cert, nil
}

// scheme is that of the URI that names a node in its certificate,
// huddle://ID.
const scheme = "huddle"

// validID reports whether id can stand in a certificate.
func validID(id string) bool {
	const allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return len(id) >= 1 && len(id) <= 64 && strings.Trim(id, allowed) == ""
}

// verify returns the server ID that the other side of a connection has
// proved: one of its certificates is signed by one of the keys and is for the
// key pair with which it has signed this handshake. No time is looked at.
func verify(keys []clusterKey, state tls.ConnectionState) (string, error) {
	if state.NegotiatedProtocol != protocolRaft && state.NegotiatedProtocol != protocolRPC {
		return "", errors.New("the other side speaks neither " + protocolRaft + " nor " + protocolRPC)
	}
	if len(state.PeerCertificates) == 0 {
		return "", errors.New("the other side has no certificate")
	}
	proved, ok := state.PeerCertificates[0].PublicKey.(ed25519.PublicKey)
	if !ok {
		return "", ErrKey
	}
	for _, cert := range state.PeerCertificates {
		public, ok := cert.PublicKey.(ed25519.PublicKey)
		if ok && bytes.Equal(public, proved) && signed(keys, cert) {
			return certifiedID(cert)
		}
	}
	return "", ErrKey
}

// signed reports whether one of the keys has signed cert.
func signed(keys []clusterKey, cert *x509.Certificate) bool {
	if cert.SignatureAlgorithm != x509.PureEd25519 {
		return false
	}
	for _, key := range keys {
		if ed25519.Verify(key.public, cert.RawTBSCertificate, cert.Signature) {
			return true
		}
	}
	return false
}

// certifiedID returns the server ID in a certificate that is trusted.
func certifiedID(cert *x509.Certificate) (string, error) {
	if len(cert.URIs) == 1 {
		id := cert.URIs[0].Host
		if validID(id) && cert.URIs[0].String() == scheme+"://"+id {
			return id, nil
		}
	}
	return "", errors.New("the other node's certificate names no server ID")
}

// tlsConfig is what both ends of every connection have in common. The
// certificates' chain, names and times are checked by verify instead of
// crypto/tls, which would trust the machine's roots and its clock.
func tlsConfig(cert tls.Certificate) *tls.Config {
	return &tls.Config{
		MinVersion:                  tls.VersionTLS13,
		Certificates:                []tls.Certificate{cert},
		ClientAuth:                  tls.RequireAnyClientCert,
		InsecureSkipVerify:          true, // VerifyConnection, set by both ends, does it
		SessionTicketsDisabled:      true,
		DynamicRecordSizingDisabled: true,
	}
}
