// Package servicecli has the commands that put a node under the care of systemd, and take it away again.
package servicecli

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/console"
	"github.com/seed-b490fa12/swarm/internal/output"
	"github.com/seed-b490fa12/swarm/internal/service"
)

// New returns the command service with those below it.
func New(e *console.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "service",
		Short: "Have this machine run its worker, relay or controller from its start on",
		Long: `Have this machine run its worker, relay or controller from its start on, as a service of
systemd. Workers and relays run as the user swarm, which is made for them, and keep
their state in /var/lib/swarm. A controller runs as the person who commands by it.

The log of a service: journalctl -u swarm-worker`,
		Example: `  swarm service install --dry-run
  sudo swarm service install
  swarm service status
  sudo swarm service uninstall`,
	}
	cmd.AddCommand(newServiceInstallCommand(e), newServiceUninstallCommand(e), newServiceStatusCommand(e), newServiceRestartCommand(e))
	return cmd
}

func roleWords() (out []string) {
	for _, r := range service.Roles() {
		out = append(out, string(r))
	}
	return out
}

// ParseRole reads a role as a person writes it.
func ParseRole(word string) (service.Role, error) {
	if !slices.Contains(roleWords(), word) {
		return "", fmt.Errorf("role %q: want worker, relay or controller", word)
	}
	return service.Role(word), nil
}

// chosen is this machine, and the role that an argument names, or the one that is installed.
func chosen(args []string) (m *service.Machine, r service.Role, err error) {
	if m, err = service.System(); err != nil {
		return nil, "", err
	}
	if len(args) > 0 {
		r, err = ParseRole(args[0])
		return m, r, err
	}
	switch roles := m.Installed(); len(roles) {
	case 0:
		return nil, "", service.ErrNone
	case 1:
		return m, roles[0], nil
	default:
		return nil, "", fmt.Errorf("several services are installed: say which one: %s", strings.Join(roleWords(), ", "))
	}
}

// AsRoot refuses a command that changes the system to others, with the line that works.
func AsRoot(cmd *cobra.Command, args []string) error {
	if os.Geteuid() == 0 {
		return nil
	}
	return fmt.Errorf("this needs the rights of root: %s", console.Sudo(cmd, args))
}

// installedLine is a line of JSON: of an installation, or of what one would do.
type installedLine struct {
	Event   string   `json:"event"`
	Unit    string   `json:"unit"`
	User    string   `json:"user"`
	State   string   `json:"dir"`
	Program string   `json:"program"`
	Steps   []string `json:"steps"`
}

func newServiceInstallCommand(e *console.Env) *cobra.Command {
	var (
		dry, fresh bool
		o          service.Options
	)
	cmd := &cobra.Command{
		Use:   "install [ROLE] [-- FLAG…]",
		Short: "Install a service and start it",
		Long: `Install the service of a ROLE, worker unless another one is named, and start it: its user,
its directory, its unit, and this program in /usr/local/bin unless it is in such a place.
What is there already stays, so a second time changes what differs. If a step fails, what
was made before is taken back.

The FLAGs are those of the command that the service runs: swarm worker, swarm relay or
swarm controller serve. What may run on a worker stands in its policy file, which
"swarm join --enable" writes.`,
		Example: `  swarm service install --dry-run
  sudo swarm service install
  sudo swarm service install relay -- --external /ip4/203.0.113.5/tcp/4747`,
		ValidArgs: roleWords(),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			o.Role, o.Args = service.Worker, args
			if len(args) > 0 && cmd.ArgsLenAtDash() != 0 {
				o.Args = args[1:]
				if o.Role, err = ParseRole(args[0]); err != nil {
					return err
				}
			}
			if err := checkServiceFlags(cmd.Root(), o); err != nil {
				return err
			}
			m, plan, err := Plan(o, fresh)
			switch {
			case err != nil:
				return err
			case dry:
				return printPlan(e, o.Role, plan)
			}
			if err := AsRoot(cmd, args); err != nil {
				return err
			}
			steps, err := Run(cmd, e, plan, nil)
			if err != nil {
				return err
			}
			return PrintInstalled(cmd, e, m, o.Role, plan, steps)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&dry, "dry-run", false, "show what would be done, and do nothing")
	f.StringVar(&o.From, "from", "", "move the node in this `DIR`, which a person has run, to the service")
	f.BoolVar(&fresh, "new", false, "make a new node, though the person who asks has one of this role")
	return cmd
}

// Plan plans an installation for the person who asks.
func Plan(o service.Options, fresh bool) (*service.Machine, *service.Plan, error) {
	m, err := service.System()
	if err != nil {
		return nil, nil, err
	}
	if err := m.Check(); err != nil {
		return nil, nil, err
	}
	person, err := m.Asker()
	if err != nil {
		return nil, nil, err
	}
	if o, err = m.For(person, o, fresh); err != nil {
		return nil, nil, err
	}
	plan, err := m.Install(o)
	return m, plan, err
}

// Served is the command that the service of a role runs.
func Served(root *cobra.Command, r service.Role) *cobra.Command {
	words := []string{string(r)}
	if r == service.Controller {
		words = append(words, "serve")
	}
	cmd, _, _ := root.Find(words)
	return cmd
}

// checkServiceFlags refuses flags now by which the service would not start.
func checkServiceFlags(root *cobra.Command, o service.Options) error {
	cmd := Served(root, o.Role)
	err := cmd.ParseFlags(o.Args)
	if err == nil && cmd.Flags().NArg() > 0 {
		err = fmt.Errorf("it takes no arguments, got %q", cmd.Flags().Arg(0))
	}
	if err != nil {
		return fmt.Errorf("flags for %s: %w", cmd.CommandPath(), err)
	}
	return nil
}

// Run does what is planned, tells of it, and returns the words.
func Run(cmd *cobra.Command, e *console.Env, plan *service.Plan, between func() error) (steps []string, err error) {
	err = plan.Run(cmd.Context(), between, func(text string) {
		steps = append(steps, text)
		if !e.JSON {
			e.Stdout.Println(text)
		}
	})
	return steps, err
}

func printPlan(e *console.Env, r service.Role, plan *service.Plan) error {
	line := installedLine{"planned", r.Unit(), plan.User, plan.State, plan.Program, nil}
	for _, s := range plan.Steps() {
		line.Steps = append(line.Steps, s.Text)
	}
	return e.Print(line, func() error {
		e.Stdout.Println("Nothing is done. Without --dry-run these would be:")
		for _, text := range line.Steps {
			e.Stdout.Println("  " + text)
		}
		e.Stdout.Printf("%s:\n", r.Unit()+".service")
		return e.Stdout.Block("  ", plan.Unit)
	})
}

// PrintInstalled says what was installed, and what comes next.
func PrintInstalled(cmd *cobra.Command, e *console.Env, m *service.Machine, r service.Role, plan *service.Plan, steps []string) error {
	s, err := m.Status(cmd.Context(), r)
	if err != nil {
		return err
	}
	line := installedLine{"installed", r.Unit(), plan.User, plan.State, plan.Program, steps}
	return e.Print(line, func() error {
		e.Stdout.Printf("%s runs (pid %d).\n", s.Unit, s.PID)
		e.Stdout.Printf("  its log          journalctl -u %s\n", s.Unit)
		if r != service.Controller {
			e.Stdout.Println("  who may do what  sudo swarm status")
			if !console.InFleet(plan.State) {
				e.Stdout.Println("  into a fleet     sudo swarm join - --service")
			}
		}
		_, err := e.Stdout.Printf("  take it away     sudo swarm service uninstall %s\n", r)
		return err
	})
}

func newServiceUninstallCommand(e *console.Env) *cobra.Command {
	var keep, yes bool
	cmd := &cobra.Command{
		Use:   "uninstall [ROLE]",
		Short: "End a service and take it away, with all that it has kept",
		Long: `End a service and take it away, with all that its installation has made: unit, state
directory, and with the last of them the user and the copy of this program. The state
directory of a worker or a relay holds its identity, its membership, its policy file,
what was deployed and the logs. That of a controller is yours, and stays.`,
		Example:   "  swarm service uninstall\n  swarm service uninstall relay --keep",
		Args:      cobra.MaximumNArgs(1),
		ValidArgs: roleWords(),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, r, err := chosen(args)
			if err != nil {
				return err
			}
			plan, err := m.Uninstall(r, keep)
			if err != nil {
				return err
			}
			if err := AsRoot(cmd, args); err != nil {
				return err
			}
			if !yes {
				question := fmt.Sprintf("End %s and remove it?", r.Unit())
				if !keep && r != service.Controller {
					question = fmt.Sprintf("End %s and remove it, with its identity, its membership, what was deployed and its logs (%s)?",
						r.Unit(), plan.State)
				}
				switch ok, err := e.Ask.Confirm(question); {
				case err != nil:
					return fmt.Errorf("nothing was removed: %w", err)
				case !ok:
					return errors.New("nothing was removed")
				}
			}
			plan.Ended = func(state string) error {
				_, err := agent.EndWorkloads(state)
				return err
			}
			steps, err := Run(cmd, e, plan, nil)
			if err != nil {
				return err
			}
			return e.Print(installedLine{Event: "uninstalled", Unit: r.Unit(), State: plan.State, Steps: steps}, func() error { return nil })
		},
	}
	cmd.Flags().BoolVar(&keep, "keep", false, "leave the state directory, for a later installation")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

func newServiceStatusCommand(e *console.Env) *cobra.Command {
	return &cobra.Command{
		Use:   "status [ROLE]",
		Short: "Show which services run here, and as whom",
		Long: `Show which services of swarm are installed on this machine, whether they run, and as
whom. The exit code is 0 if all of them run, and 2 otherwise.`,
		Example:   "  swarm service status\n  swarm service status relay --json",
		Args:      cobra.MaximumNArgs(1),
		ValidArgs: roleWords(),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := service.System()
			if err != nil {
				return err
			}
			if err := m.Check(); err != nil {
				return err
			}
			roles := m.Installed()
			if len(args) > 0 {
				r, err := ParseRole(args[0])
				if err != nil {
					return err
				}
				roles = slices.DeleteFunc(roles, func(i service.Role) bool { return i != r })
			}
			if len(roles) == 0 {
				return service.ErrNone
			}
			return printServices(cmd, e, m, roles)
		},
	}
}

func printServices(cmd *cobra.Command, e *console.Env, m *service.Machine, roles []service.Role) error {
	var lines []service.Status
	all := true
	for _, r := range roles {
		s, err := m.Status(cmd.Context(), r)
		if err != nil {
			return err
		}
		lines, all = append(lines, s), all && s.Runs()
		if !s.Runs() {
			e.Stderr.Printf("swarm: %s does not run; why: journalctl -u %[1]s -n 20\n", s.Unit)
		}
	}
	if err := output.PrintList(&e.Std, lines, func() error { return printTable(e, lines) }); err != nil || all {
		return err
	}
	return &console.Exit{Code: console.ExitFailed}
}

func printTable(e *console.Env, lines []service.Status) error {
	t := e.Stdout.Table("SERVICE", "STATE", "AT BOOT", "USER", "PID", "SINCE", "DIRECTORY")
	for _, s := range lines {
		since := "-"
		if s.Since != nil {
			since = s.Since.Format(time.RFC3339)
		}
		t.Row(s.Unit, s.Active+" ("+s.Sub+")", s.Boot, s.User, s.PID, since, s.State)
	}
	return t.Flush()
}

func newServiceRestartCommand(e *console.Env) *cobra.Command {
	return &cobra.Command{
		Use:   "restart [ROLE]",
		Short: "End a service and start it again, as after an upgrade",
		Long: `End a service and start it again, as after an upgrade of the program. The command returns
when others can reach it again. Workloads of a worker end with it.`,
		Example:   "  swarm service restart",
		Args:      cobra.MaximumNArgs(1),
		ValidArgs: roleWords(),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, r, err := chosen(args)
			if err != nil {
				return err
			}
			if err := AsRoot(cmd, args); err != nil {
				return err
			}
			if err := m.Restart(cmd.Context(), r); err != nil {
				return err
			}
			s, err := m.Status(cmd.Context(), r)
			if err != nil {
				return err
			}
			return e.Print(s, func() error {
				_, err := e.Stdout.Printf("%s runs (pid %d).\n", s.Unit, s.PID)
				return err
			})
		},
	}
}
