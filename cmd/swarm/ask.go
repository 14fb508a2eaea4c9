package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// passphraseEnv is where a passphrase is taken from when there is nobody to ask.
const passphraseEnv = "SWARM_PASSPHRASE"

const maxAnswer = 8 << 10 // bytes of a line that is asked for

// errNoTerminal says that there is nobody to ask.
var errNoTerminal = errors.New("there is no terminal to ask on")

// readLine reads one line from the standard input, without what follows it.
func (a *app) readLine() (string, error) {
	if a.in == nil {
		a.in = bufio.NewReader(io.LimitReader(a.stdin, 4*maxAnswer))
	}
	line, err := a.in.ReadString('\n')
	if len(line) > maxAnswer {
		return "", fmt.Errorf("the line is longer than %d bytes", maxAnswer)
	}
	if errors.Is(err, io.EOF) && line != "" {
		err = nil
	}
	return strings.TrimRight(line, "\r\n"), err
}

// ask puts a question and returns the answer, or otherwise where nobody answers:
// when the standard input is a pipe that has ended.
func (a *app) ask(question, otherwise string) (string, error) {
	a.stderr.printf("%s", question)
	answer, err := a.readLine()
	if errors.Is(err, io.EOF) {
		a.stderr.println()
		return otherwise, nil
	}
	if !isTerminal(a.stdin) {
		a.stderr.println()
	}
	return strings.TrimSpace(answer), err
}

// confirm asks a question that is answered by yes or no.
func (a *app) confirm(question string, otherwise bool) (bool, error) {
	word := "n"
	if otherwise {
		word = "y"
	}
	answer, err := a.ask(question+" [y/N] ", word)
	switch strings.ToLower(answer) {
	case "y", "yes":
		return true, err
	}
	return false, err
}

// passphrase takes the passphrase of the root key from the environment, or asks
// for it; twice when it is a new one.
func (a *app) passphrase(isNew bool) (string, error) {
	if p := os.Getenv(passphraseEnv); p != "" {
		return p, nil
	}
	if !isTerminal(a.stdin) {
		return "", fmt.Errorf("the root key needs a passphrase, and %w: set %s", errNoTerminal, passphraseEnv)
	}
	p, err := a.readSecret("Passphrase of the root key: ")
	if err != nil || !isNew {
		return p, err
	}
	if p == "" {
		return "", errors.New("the passphrase is empty; for none use --no-passphrase")
	}
	again, err := a.readSecret("The same again: ")
	if err == nil && again != p {
		err = errors.New("the two are not the same; nothing was made")
	}
	return p, err
}

// readSecret reads a line that is not shown.
func (a *app) readSecret(question string) (string, error) {
	f, ok := a.stdin.(*os.File)
	if !ok {
		return "", errNoTerminal
	}
	a.stderr.printf("%s", question)
	b, err := term.ReadPassword(int(f.Fd()))
	a.stderr.println()
	return string(b), err
}
