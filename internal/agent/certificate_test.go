package agent

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-b490fa12/swarm/host/transport"
)

// writePair writes a new certificate with its key, and returns the certificate.
func writePair(t *testing.T, cert, key string) string {
	t.Helper()
	made, err := transport.SelfSigned()
	if err != nil {
		t.Fatal(err)
	}
	pair, err := made(nil)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{
		cert: {Type: "CERTIFICATE", Bytes: pair.Certificate[0]}, key: {Type: "PRIVATE KEY", Bytes: der},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return string(pair.Certificate[0])
}

// TestCertificateIsRenewed: files that were replaced are shown within an hour, without a restart; a
// half-written one changes nothing.
func TestCertificateIsRenewed(t *testing.T) {
	cert, key := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	synctest.Test(t, func(t *testing.T) {
		want := writePair(t, cert, key)
		get, err := readCertificate(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		check := func(when, want string) {
			t.Helper()
			if got, err := get(nil); err != nil || string(got.Certificate[0]) != want {
				t.Errorf("%s: not the certificate that is wanted, %v", when, err)
			}
		}
		check("at first", want)
		renewed := writePair(t, cert, key)
		check("at once", want)
		time.Sleep(certificateAgain)
		check("after an hour", renewed)
		if err := os.WriteFile(key, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(certificateAgain)
		check("with half a key", renewed)
	})
}

func TestBadCertificates(t *testing.T) {
	cert, key := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	writePair(t, cert, key)
	other := filepath.Join(t.TempDir(), "other.pem")
	writePair(t, filepath.Join(t.TempDir(), "c"), other)
	for _, pair := range [][2]string{{cert, ""}, {"", key}, {cert, other}, {key, cert}, {cert, filepath.Join(t.TempDir(), "none")}} {
		if get, err := readCertificate(pair[0], pair[1]); err == nil || get != nil {
			t.Errorf("%v: taken", pair)
		}
	}
	if get, err := readCertificate("", ""); err != nil || get != nil {
		t.Errorf("no files: %v", err)
	}
}
