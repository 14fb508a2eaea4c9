package console

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/seed-b490fa12/swarm/internal/ask"
	"github.com/seed-b490fa12/swarm/internal/clock"
)

// PassphraseEnv is the variable that holds the passphrase where there is no person to ask.
const PassphraseEnv = "SWARM_PASSPHRASE"

// Passphrase takes the passphrase of the root key from the environment, or asks for it; twice if it
// is a new one.
func (e *Env) Passphrase(isNew bool) (string, error) {
	if p := os.Getenv(PassphraseEnv); p != "" {
		return p, nil
	}
	word, err := e.Ask.Secret("Passphrase of the root key: ")
	if errors.Is(err, ask.ErrNoTerminal) {
		return "", fmt.Errorf("the root key needs a passphrase, and %w: set %s", err, PassphraseEnv)
	}
	if err != nil || !isNew {
		return word, err
	}
	if word == "" {
		return "", errors.New("the passphrase is empty; for none use --no-passphrase")
	}
	again, err := e.Ask.Secret("The same again: ")
	if err == nil && again != word {
		err = errors.New("the two are not the same; nothing was made")
	}
	return word, err
}

// WarnClock says so when this machine's clock cannot be right. What is done goes on: that others
// can be asked for the time may be what it is for.
func (e *Env) WarnClock() {
	if fault := clock.Fault(time.Now()); fault != "" {
		e.Stderr.Println("WARNING:", fault)
	}
}
