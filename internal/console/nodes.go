package console

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed-b490fa12/swarm/host/identity"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/audit"
	"github.com/seed-b490fa12/swarm/internal/fleetdir"
	"github.com/seed-b490fa12/swarm/internal/running"
	"github.com/seed-b490fa12/swarm/internal/service"
)

// Node is a node of this machine.
type Node struct {
	Role  string // empty where --state names the directory
	Dir   string
	Owner service.Owner
}

// Words name a node for a person.
func (n Node) Words() string {
	if n.Role == "" {
		return "the node in " + n.Dir
	}
	return "the " + n.Role + " of this machine"
}

// Nodes returns the nodes of this machine for which holds is true, without making any: the one of
// --state, or those of the person who asks and of services. Of one that belongs to another user, and
// may not be looked at, holds is not asked.
func Nodes(e *Env, holds func(dir string) bool) (nodes []Node, err error) {
	for _, n := range places(e) {
		_, err := os.Stat(identity.Path(n.Dir))
		hidden := errors.Is(err, fs.ErrPermission)
		if err != nil && !hidden {
			continue
		}
		// What is hidden above the directory is not known to be a node.
		if n.Owner, err = service.OwnerOf(n.Dir); err != nil || !hidden && !holds(n.Dir) {
			if e.state != "" && errors.Is(err, fs.ErrPermission) {
				return nil, fmt.Errorf("look at %s: %w", n.Dir, err)
			}
			continue
		}
		nodes = append(nodes, n)
	}
	return nodes, nil
}

// RoleOf is the role of a node that may be looked at, also where --state names the directory: that
// of the process that runs it, or what it keeps there.
func RoleOf(n Node) string {
	if n.Role != "" {
		return n.Role
	}
	if p, ok := running.Look(n.Dir); ok && p.Role != "" {
		return p.Role
	}
	if f, err := fleetdir.Open(n.Dir, nil, nil); err == nil && f != nil {
		switch role := f.Self().Grant.Role; role {
		case trust.RoleWorker, trust.RoleRelay:
			return string(role)
		}
		return agent.RoleController
	}
	if _, err := os.Stat(audit.Dir(n.Dir)); err == nil {
		return agent.RoleWorker
	}
	return agent.RoleController
}

// EachNode calls fn for each node of this machine for which holds is true, as its owner, and returns
// how many there are. Those that belong to another user are told to a person who is not root.
func EachNode(ctx context.Context, e *Env, cmd *cobra.Command, holds func(dir string) bool, fn func(Node) error) (int, error) {
	nodes, err := Nodes(e, holds)
	if err != nil {
		return 0, err
	}
	var foreign error
	shown := 0
	for _, n := range nodes {
		if !n.Owner.Other {
			shown++
			if err := fn(n); err != nil {
				return len(nodes), err
			}
			continue
		}
		if err := AsOwner(ctx, e, cmd, nil, n); err != nil && os.Geteuid() == 0 {
			return len(nodes), err
		} else if err != nil {
			foreign = err
		}
	}
	if foreign != nil && shown > 0 {
		e.Stderr.Printf("swarm: %s\n", foreign)
		foreign = nil
	}
	return len(nodes), foreign
}

// places are where nodes of this machine may be.
func places(e *Env) (out []Node) {
	if e.state != "" {
		dir, err := filepath.Abs(e.state)
		if err != nil {
			return nil
		}
		return []Node{{Dir: dir}}
	}
	for _, role := range []string{agent.RoleController, agent.RoleWorker, agent.RoleRelay} {
		own, err := e.StateDir(role)
		if err == nil {
			out = append(out, Node{Role: role, Dir: own})
		}
		if dir := filepath.Join(service.StateRoot, role); dir != own {
			out = append(out, Node{Role: role, Dir: dir})
		}
	}
	return out
}

// AsOwner runs a command again, for one node, as the user whom that belongs to. Root can; others get
// an error with the line that does.
func AsOwner(ctx context.Context, e *Env, cmd *cobra.Command, args []string, n Node) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("%s belongs to the user %s: %s", n.Words(), n.Owner.Name, Sudo(cmd, args))
	}
	words := append(Line(cmd, nil), "--state="+n.Dir)
	if len(args) > 0 {
		words = append(append(words, "--"), args...)
	}
	code, err := n.Owner.Run(ctx, e.Stdin, e.Stdout.Raw(), e.Terminal, nil, words...)
	if err != nil || code == ExitOK {
		return err
	}
	return &Exit{Code: code}
}

// Line is how a person types a command with the flags that are set: its words behind the program.
func Line(cmd *cobra.Command, args []string) []string {
	words := strings.Fields(cmd.CommandPath())[1:]
	cmd.Flags().Visit(func(f *pflag.Flag) {
		values := []string{f.Value.String()}
		if s, ok := f.Value.(pflag.SliceValue); ok {
			values = s.GetSlice()
		}
		for _, v := range values {
			if f.NoOptDefVal == v {
				words = append(words, "--"+f.Name)
			} else {
				words = append(words, "--"+f.Name+"="+v)
			}
		}
	})
	return append(words, args...)
}

// Sudo is the line by which a person does the same as root. Sudo may not find this program by its
// name.
func Sudo(cmd *cobra.Command, args []string) string {
	program := "swarm"
	if _, err := exec.LookPath(program); err != nil {
		if file, err := os.Executable(); err == nil {
			program = file
		}
	}
	return strings.Join(append([]string{"sudo", program}, Line(cmd, args)...), " ")
}
