package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/host/trust/ticket"
	"github.com/seed-b490fa12/swarm/internal/admin"
	"github.com/seed-b490fa12/swarm/internal/console"
	"github.com/seed-b490fa12/swarm/internal/service"
	"github.com/seed-b490fa12/swarm/internal/servicecli"
)

const (
	// ticketEnv hands a ticket to the part of join that runs as the user of the service; arguments
	// could be read by every user.
	ticketEnv = "_SWARM_TICKET"
	nextFlag  = "next"
)

func handedTicket() string { return os.Getenv(ticketEnv) }

// asService joins as the user of a service, between its two halves: that has its user, directory and
// program by then, and starts as a member.
func (j *joining) asService(cmd *cobra.Command, args []string) error {
	if err := servicecli.AsRoot(cmd, args); err != nil {
		return err
	}
	word := strings.Join(args, "")
	text, role, err := j.serviceRole(word)
	if err != nil {
		return err
	}
	o := service.Options{Role: role, Args: serviceFlags(cmd, role)}
	if console.InFleet(service.StateDir(role)) {
		return errors.New("the service of this machine is in a fleet already: sudo swarm leave")
	}
	m, plan, err := servicecli.Plan(o, true)
	if err != nil {
		return err
	}
	steps, err := servicecli.Run(cmd, j.env, plan, func() error {
		owner, err := service.AccountOwner()
		if err != nil {
			return err
		}
		line := joinLine(cmd, plan.State, word)
		code, err := owner.Run(cmd.Context(), j.Ask.Rest(), j.Stdout.Raw(), j.Terminal, []string{ticketEnv + "=" + text}, line...)
		if err == nil && code != console.ExitOK {
			err = &console.Exit{Code: code}
		}
		return err
	})
	if err != nil {
		return err
	}
	return servicecli.PrintInstalled(cmd, j.env, m, role, plan, steps)
}

// serviceRole returns the ticket, if there is one yet, and the role of the service.
func (j *joining) serviceRole(word string) (text string, role service.Role, err error) {
	if word == "" {
		role, err = servicecli.ParseRole(j.role)
		return "", role, err
	}
	if text, err = j.ticketText(word); err != nil {
		return "", "", err
	}
	t, err := ticket.Parse(text)
	if err != nil {
		return "", "", err
	}
	role = service.Role(admin.StateRole(t.Role))
	if role == service.Controller {
		return "", "", fmt.Errorf("the ticket is for a %s: join with it as the person who commands, without --service", t.Role)
	}
	return text, role, nil
}

// joinLine is the command line by which the user of the service joins.
func joinLine(cmd *cobra.Command, state, word string) (line []string) {
	for _, w := range console.Line(cmd, nil) {
		if w != "--service" && !strings.HasPrefix(w, "--state=") {
			line = append(line, w)
		}
	}
	line = append(line, "--state="+state, "--"+nextFlag+"=false")
	if word != "" {
		line = append(line, "-") // the ticket itself goes by the environment
	}
	return line
}

// ofJoinOnly are flags of both commands that the service does not need: the policy file has what is
// enabled, and the rest is of this command.
var ofJoinOnly = []string{"enable", "state", "config", "json", "log-level"}

// serviceFlags are the flags of join that the service has to be started with, too.
func serviceFlags(cmd *cobra.Command, r service.Role) (out []string) {
	runs := servicecli.Served(cmd.Root(), r)
	for _, w := range console.Line(cmd, nil) {
		name, _, _ := strings.Cut(strings.TrimPrefix(w, "--"), "=")
		if strings.HasPrefix(w, "--") && runs.Flags().Lookup(name) != nil && !slices.Contains(ofJoinOnly, name) {
			out = append(out, w)
		}
	}
	return out
}
