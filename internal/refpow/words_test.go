package refpow

import (
	"errors"
	"net"
	"testing"
)

func TestPlainWords(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	_, refused := net.Dial("tcp", l.Addr().String())
	for want, err := range map[string]error{
		"connection refused":                  refused,
		"its name is not known: pool.example": &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "pool.example"}},
		"the pool does not answer":            errors.New("the pool does not answer"),
	} {
		if got := plain(err); got != want {
			t.Errorf("%v: got %q, want %q", err, got, want)
		}
	}
}
