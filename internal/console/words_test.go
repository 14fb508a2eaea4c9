package console

import (
	"errors"
	"fmt"
	"testing"

	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/streams"
)

// What a library says of the command line, and the number of an answer, are not for people.
func TestWords(t *testing.T) {
	ticket := &streams.Error{Code: streams.CodeConflict, Message: "the ticket was used"}
	exclusive := &cobra.Command{RunE: func(*cobra.Command, []string) error { return nil }, SilenceErrors: true, SilenceUsage: true}
	exclusive.Flags().Bool("all", false, "")
	exclusive.Flags().String("on", "", "")
	exclusive.MarkFlagsMutuallyExclusive("all", "on")
	exclusive.SetArgs([]string{"--all", "--on", "x"})
	for _, tt := range []struct {
		err  error
		want string
	}{
		{errors.New("x"), "x"},
		{fmt.Errorf("not joined: %w", ticket), "not joined: the ticket was used"},
		{&streams.Error{Code: 500, Message: "internal error", Trace: "ab"}, "internal error; the machine's log says more at trace ab"},
		{exclusive.Execute(), "--all and --on exclude each other: give one of them"},
		{cobra.ExactArgs(1)(exclusive, nil), "the command takes one argument, and 0 were given; see it with --help"},
		{cobra.MinimumNArgs(2)(exclusive, []string{"x"}), "the command takes at least 2 arguments, and 1 were given; see it with --help"},
	} {
		if got := Words(tt.err); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}
