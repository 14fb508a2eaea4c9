package console

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/hints"
	"github.com/seed-b490fa12/swarm/internal/output"
)

// Exit codes. They are stable: scripts rely on them.
const (
	ExitOK          = 0
	ExitUsage       = 1 // bad arguments, unknown name, or an error of this machine
	ExitFailed      = 2 // no machine succeeded, for various reasons
	ExitPartial     = 3 // some machines succeeded
	ExitUnreachable = 4 // no machine could be reached, or none answered in time
	ExitDenied      = 5 // every machine refused for lack of rights
	ExitInterrupted = 130
)

// Exit ends the program with a code; its text, if any, is printed.
type Exit struct {
	Code int
	Err  error
}

func (e *Exit) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit code %d", e.Code)
	}
	return e.Err.Error()
}

func (e *Exit) Unwrap() error { return e.Err }

// ExitCode prints the error, if there is one to print, and returns the code. With --json it is a
// line of the results too.
func (e *Env) ExitCode(ctx context.Context, err error) int {
	code := ExitOK
	if err != nil {
		code = ExitUsage
	}
	if ce, ok := errors.AsType[*Exit](err); ok {
		code, err = ce.Code, ce.Err
	}
	if err == nil {
		return code
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return ExitInterrupted
	}
	words := Words(err) + hints.For(err)
	e.printFailure(code, err, words)
	first, more, several := strings.Cut(words, "\n")
	e.Stderr.Printf("swarm: %s\n", first)
	if several {
		e.Stderr.Block("       ", more)
	}
	return code
}

// outcomeText counts the machines by what came of them.
func outcomeText(s agent.Summary) string {
	var text strings.Builder
	fmt.Fprintf(&text, "%d of %s succeeded", s.OK, output.Count(s.Total(), "machine", "machines"))
	sep := "; "
	for _, part := range []struct {
		n     int
		words string
	}{{s.Unreachable, "unreachable"}, {s.Denied, "refused for lack of rights"}, {s.Failed, "failed"}} {
		if part.n > 0 {
			fmt.Fprintf(&text, "%s%d %s", sep, part.n, part.words)
			sep = ", "
		}
	}
	return text.String()
}

// Outcome turns the summary into the exit code, and prints it if there were several machines and
// not all succeeded.
func (e *Env) Outcome(ctx context.Context, s agent.Summary) error {
	if s.Unconfirmed > 0 {
		e.Stderr.Printf("swarm: left out %s that nobody has confirmed since the signer ended; look: "+
			"swarm renew --from ISSUER (see: swarm members)\n", output.Count(s.Unconfirmed, "machine", "machines"))
	}
	if s.OK < s.Total() && s.Total() > 1 && ctx.Err() == nil {
		e.Stderr.Printf("swarm: %s\n", outcomeText(s))
	}
	return Judged(ctx, s)
}

// Judged turns the summary into the exit code, and prints nothing.
func Judged(ctx context.Context, s agent.Summary) error {
	switch {
	case s.OK == s.Total() && s.Unconfirmed > 0:
		return &Exit{Code: ExitPartial}
	case s.OK == s.Total():
		return nil
	case ctx.Err() != nil:
		return &Exit{Code: ExitInterrupted}
	}
	switch s.Total() {
	case s.Unreachable:
		return &Exit{Code: ExitUnreachable}
	case s.Denied:
		return &Exit{Code: ExitDenied}
	}
	if s.OK > 0 {
		return &Exit{Code: ExitPartial}
	}
	return &Exit{Code: ExitFailed}
}

// exitReaderGone is the code of a program that SIGPIPE ends, as others see it.
const exitReaderGone = 141

// Following does what prints lines now and then, until it is stopped. It ends as well when nobody
// reads them any more, as in "… --follow | head -1".
func (e *Env) Following(ctx context.Context, do func(context.Context) error) error {
	ctx, stop := output.WhileRead(ctx, e.Stdout)
	defer stop()
	err := do(ctx)
	if errors.Is(context.Cause(ctx), output.ErrReaderGone) {
		return &Exit{Code: exitReaderGone}
	}
	return err
}
