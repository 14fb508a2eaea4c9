package agent

import (
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/seed-b490fa12/swarm/host/transport"
	"github.com/seed-b490fa12/swarm/internal/durable"
)

const (
	maxPEM           = 1 << 20 // bytes of a certificate with its chain, or a key
	certificateAgain = time.Hour
)

// certificate is one in two files. It is read again every hour, when somebody dials: programs that
// renew certificates replace the files.
type certificate struct {
	cert, key string

	mu     sync.Mutex // guards what follows
	loaded *tls.Certificate
	at     time.Time
}

// readCertificate returns nil where there are no files.
func readCertificate(cert, key string) (transport.Certificate, error) {
	if cert == "" && key == "" {
		return nil, nil
	}
	if cert == "" || key == "" {
		return nil, errors.New("TLS: the certificate and its key belong together, and one of them is missing")
	}
	c := &certificate{cert: cert, key: key, at: time.Now()}
	var err error
	if c.loaded, err = c.read(); err != nil {
		return nil, err
	}
	return c.get, nil
}

func (c *certificate) read() (*tls.Certificate, error) {
	chain, err := durable.ReadLinked(c.cert, maxPEM)
	if err != nil {
		return nil, fmt.Errorf("TLS certificate: %w", err)
	}
	key, err := durable.ReadLinked(c.key, maxPEM)
	if err != nil {
		return nil, fmt.Errorf("TLS key: %w", err)
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, fmt.Errorf("TLS certificate %s with key %s: %w", c.cert, c.key, err)
	}
	return &pair, nil
}

// get is a transport.Certificate. Files that cannot be read leave things as they were: they may be
// half written.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.at) >= certificateAgain {
		c.at = now
		if loaded, err := c.read(); err == nil {
			c.loaded = loaded
		}
	}
	return c.loaded, nil
}
