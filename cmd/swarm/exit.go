package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/seed-b490fa12/swarm/internal/agent"
)

// Exit codes. They are stable: scripts rely on them.
const (
	exitOK          = 0
	exitUsage       = 1 // bad arguments, unknown name, or an error of this machine
	exitFailed      = 2 // no machine succeeded, for various reasons
	exitPartial     = 3 // some machines succeeded
	exitUnreachable = 4 // no machine could be reached, or none answered in time
	exitDenied      = 5 // every machine refused for lack of rights
	exitInterrupted = 130
)

// codeError ends the program with a code; its text, if any, is printed.
type codeError struct {
	code int
	err  error
}

func (e *codeError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *codeError) Unwrap() error { return e.err }

// exitCode prints the error, if there is one to print, and returns the code.
func exitCode(ctx context.Context, e *env, err error) int {
	code := exitOK
	if err != nil {
		code = exitUsage
	}
	if ce, ok := errors.AsType[*codeError](err); ok {
		code, err = ce.code, ce.err
	}
	if err == nil {
		return code
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return exitInterrupted
	}
	first, more, several := strings.Cut(advice(err), "\n")
	e.Stderr.Printf("swarm: %s\n", first)
	if several {
		e.Stderr.Block("       ", more)
	}
	return code
}

// outcome turns the summary into the exit code, and prints it if there were several machines and
// not all succeeded.
func outcome(ctx context.Context, e *env, s agent.Summary) error {
	if s.Unconfirmed > 0 {
		e.Stderr.Printf("swarm: left out %d machines that nobody has confirmed since their signer ended; look at them: "+
			"swarm renew --from ISSUER (see: swarm members)\n", s.Unconfirmed)
	}
	if s.OK == s.Total() {
		if s.Unconfirmed > 0 {
			return &codeError{code: exitPartial}
		}
		return nil
	}
	if ctx.Err() != nil {
		return &codeError{code: exitInterrupted}
	}
	if s.Total() > 1 {
		e.Stderr.Printf("swarm: %d of %d machines succeeded; %d unreachable, %d refused for lack of rights, %d failed\n",
			s.OK, s.Total(), s.Unreachable, s.Denied, s.Failed)
	}
	switch s.Total() {
	case s.Unreachable:
		return &codeError{code: exitUnreachable}
	case s.Denied:
		return &codeError{code: exitDenied}
	}
	if s.OK > 0 {
		return &codeError{code: exitPartial}
	}
	return &codeError{code: exitFailed}
}
