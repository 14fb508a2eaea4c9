package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/seed-b490fa12/swarm/internal/ask"
)

// passphraseEnv is the variable that holds the passphrase where there is no person to ask.
const passphraseEnv = "SWARM_PASSPHRASE"

// passphrase takes the passphrase of the root key from the environment, or asks for it; twice if it
// is a new one.
func passphrase(p *ask.Person, isNew bool) (string, error) {
	if p := os.Getenv(passphraseEnv); p != "" {
		return p, nil
	}
	word, err := p.Secret("Passphrase of the root key: ")
	if errors.Is(err, ask.ErrNoTerminal) {
		return "", fmt.Errorf("the root key needs a passphrase, and %w: set %s", err, passphraseEnv)
	}
	if err != nil || !isNew {
		return word, err
	}
	if word == "" {
		return "", errors.New("the passphrase is empty; for none use --no-passphrase")
	}
	again, err := p.Secret("The same again: ")
	if err == nil && again != word {
		err = errors.New("the two are not the same; nothing was made")
	}
	return word, err
}
