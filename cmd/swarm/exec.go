package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed-b490fa12/swarm/deploy"
	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/ops"
	"github.com/seed-b490fa12/swarm/streams"
)

const (
	defaultWait    = 3 * time.Second
	defaultTimeout = 30 * time.Second
	maxPayload     = streams.MaxFrame
)

// execFlags are the flags of exec.
type execFlags struct {
	reach
	selection
	payload string
	timeout time.Duration
	name    string // of the workload or bundle

	miner, algorithm, pool, wallet, password, profile, minerConfig string
	threads                                                        int

	lines        int
	since, until string
	offset       int64
	follow       bool
}

// fieldFlags are the flags that fill in the payload of an operation.
var fieldFlags = map[streams.Type][]string{
	"ping":        nil,
	"get_stats":   nil,
	"start_miner": {"miner", "name", "algorithm", "threads", "pool", "wallet", "password", "profile", "miner-config"},
	"stop_miner":  {"miner", "name"},
	"get_logs":    {"name", "lines", "since", "until", "offset", "follow"},
	"deploy":      {"name"},
}

func (a *app) execCommand() *cobra.Command {
	var f execFlags
	cmd := &cobra.Command{
		Use:   "exec OPERATION [TARGET…] [BUNDLE]",
		Short: "Do one operation on one, several or all machines",
		Long: `Do one operation on the machines named, or on those that --all, --on or --best pick.

OPERATION is one of: ` + strings.Join(operationNames(), ", ") + `.
--all means all saved machines and, for operations that only read, those that are
found within --wait; these are saved when they answer. Commands never go to a machine
that was only just found: it may be anybody's.

TARGET is a name from "swarm peers", the beginning of a peer ID (9 characters or more), or a multiaddr that
ends in /p2p/<peer ID>. For deploy, the last argument is the file or directory to deploy.

Each machine's result is printed as it arrives. With --json there is a line for each
machine: {"peer":"…","name":"…","ok":true,"type":"stats","payload":{…}}, or
{"peer":"…","ok":false,"error":{"code":403,"message":"…"}}.

Exit codes: 0 all succeeded; 1 usage, unknown name or local error; 2 none succeeded;
3 some succeeded; 4 none could be reached or answered in time; 5 all refused (401, 403).`,
		Example: `  swarm controller exec get_stats --all
  swarm controller exec start_miner rig-01 --miner xmrig --algorithm rx/0 --threads 4 --pool stratum+tcp://pool.example.org:3333 --wallet WALLET
  swarm controller exec get_logs rig-01 --name xmrig --follow
  swarm controller exec deploy rig-01 rig-02 ./bundle
  swarm controller exec stop_miner --all --name xmrig`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return fmt.Errorf("which operation? One of: %s", strings.Join(operationNames(), ", "))
			}
			return nil
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return operationNames(), cobra.ShellCompDirectiveNoFileComp
			}
			return nil, cobra.ShellCompDirectiveDefault
		},
		RunE: func(cmd *cobra.Command, args []string) error { return a.exec(cmd, args, f) },
	}
	f.add(cmd)
	return cmd
}

func (f *execFlags) add(cmd *cobra.Command) {
	f.reach.flags(cmd)
	f.selection.flags(cmd)
	fs := cmd.Flags()
	fs.StringVar(&f.payload, "payload", "", "the request's payload: `JSON`, @FILE, or - for standard input")
	fs.DurationVar(&f.timeout, "timeout", defaultTimeout, "how long a machine may take; with --follow until its first lines, for a deployment until it takes further bytes, and in all a second more for each 64 KiB")
	fs.StringVar(&f.name, "name", "", "the workload's `NAME` (default: the miner's), or the bundle's (default: the file's)")
	fs.StringVar(&f.miner, "miner", "", "start_miner: which miner: refpow or xmrig")
	fs.StringVar(&f.algorithm, "algorithm", "", "start_miner: for example rx/0")
	fs.IntVar(&f.threads, "threads", 0, "start_miner: how many threads (default: the miner's)")
	fs.StringVar(&f.pool, "pool", "", "start_miner: stratum+tcp://host:port or stratum+ssl://host:port")
	fs.StringVar(&f.wallet, "wallet", "", "start_miner: the wallet or user at the pool")
	fs.StringVar(&f.password, "password", "", "start_miner: the password at the pool: text, or @FILE to keep it off the command line")
	fs.StringVar(&f.profile, "profile", "", "start_miner: eco, balanced or full")
	fs.StringVar(&f.minerConfig, "miner-config", "", "start_miner: further settings of the miner: `JSON` or @FILE")
	fs.IntVar(&f.lines, "lines", 0, "get_logs: how many lines (default 100)")
	fs.StringVar(&f.since, "since", "", "get_logs: from this time on: a duration back (10m) or RFC 3339")
	fs.StringVar(&f.until, "until", "", "get_logs: up to this time: a duration back (10m) or RFC 3339")
	fs.Int64Var(&f.offset, "offset", 0, "get_logs: from this offset on")
	fs.BoolVar(&f.follow, "follow", false, "get_logs: go on until the workload ends")
}

func operationNames() []string { return agent.Operations().Names() }

func (a *app) exec(cmd *cobra.Command, args []string, f execFlags) (err error) {
	job, targets, err := a.job(cmd, args, f)
	if err != nil {
		return err
	}
	f.Names = targets
	if len(targets) > 0 && (f.All || f.On != "" || f.Best > 0) {
		return errors.New("name machines, or use --all, --on or --best, not both")
	}
	c, err := a.commander(cmd.Context(), f.reach, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	show := a.newResults(job, len(targets) == 1)
	job.Progress = show.progress
	sum, err := c.Exec(cmd.Context(), job, f.Selection, show.result)
	show.end()
	if err != nil {
		return err
	}
	for _, w := range sum.Warnings {
		a.stderr.printf("swarm: %s\n", w)
	}
	return a.outcome(cmd.Context(), sum)
}

// outcome turns the summary into the exit code, and says it in words when there
// were several machines and not all succeeded.
func (a *app) outcome(ctx context.Context, s agent.Summary) error {
	if s.Unconfirmed > 0 {
		a.stderr.printf("swarm: left out %d machines that nobody has confirmed since their signer ended; look at them: swarm renew --from ISSUER (see: swarm members)\n", s.Unconfirmed)
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
		a.stderr.printf("swarm: %d of %d machines succeeded; %d unreachable, %d refused for lack of rights, %d failed\n",
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

// job reads the operation, its payload and the targets from the command line.
func (a *app) job(cmd *cobra.Command, args []string, f execFlags) (j agent.Job, targets []string, err error) {
	j.Timeout = f.timeout
	if f.timeout <= 0 {
		return j, nil, fmt.Errorf("--timeout %v: want more than 0", f.timeout)
	}
	if j.Operation, err = agent.Operations().Find(args[0]); err != nil {
		return j, nil, err
	}
	if err := checkFieldFlags(cmd, j.Operation.Request); err != nil {
		return j, nil, err
	}
	targets = args[1:]
	if j.Operation.Shape == streams.ShapeUpload {
		if len(targets) == 0 {
			return j, nil, errors.New("deploy what? The last argument is the file or directory to deploy")
		}
		j.Bundle, err = deploy.Open(targets[len(targets)-1], f.name, 0)
		return j, targets[:len(targets)-1], err
	}
	j.Payload, err = a.payload(cmd, j.Operation, f)
	return j, targets, err
}

// checkFieldFlags refuses a flag that is for another operation.
func checkFieldFlags(cmd *cobra.Command, op streams.Type) (err error) {
	all := make(map[string]bool)
	for _, names := range fieldFlags {
		for _, n := range names {
			all[n] = true
		}
	}
	cmd.Flags().Visit(func(fl *pflag.Flag) {
		if all[fl.Name] && !slices.Contains(fieldFlags[op], fl.Name) {
			err = fmt.Errorf("--%s is not for %s", fl.Name, op)
		}
	})
	return err
}

// payload puts the request together: --payload first, then what flags say.
func (a *app) payload(cmd *cobra.Command, op ops.Operation, f execFlags) (jsontext.Value, error) {
	raw := jsontext.Value(`{}`)
	if f.payload != "" {
		text, err := a.argument(f.payload, true)
		if err != nil {
			return nil, fmt.Errorf("--payload: %w", err)
		}
		raw = jsontext.Value(text)
	}
	var err error
	switch op.Request {
	case "start_miner":
		raw, err = edited(raw, func(r *ops.StartRequest) error { return a.fillStart(r, f) })
	case "stop_miner":
		raw, err = edited(raw, func(r *ops.StopRequest) error {
			if r.Name = first(f.name, f.miner, r.Name); r.Name == "" {
				return errors.New("stop which workload? Give --name")
			}
			return nil
		})
	case "get_logs":
		raw, err = edited(raw, func(r *ops.LogsRequest) error { return fillLogs(cmd, r, f) })
	case "ping":
		raw, err = edited(raw, func(r *streams.PingRequest) error { r.SentAt = time.Now().UnixMilli(); return nil })
	default:
		err = op.Check(raw)
	}
	return raw, err
}

// edited decodes raw, lets fill change it, validates and encodes it.
func edited[T any](raw jsontext.Value, fill func(*T) error) (jsontext.Value, error) {
	v := new(T)
	if err := json.Unmarshal(raw, v, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("--payload: %w", err)
	}
	if err := fill(v); err != nil {
		return nil, err
	}
	if val, ok := any(v).(interface{ Validate() error }); ok {
		if err := val.Validate(); err != nil {
			return nil, err
		}
	}
	return json.Marshal(v)
}

func (a *app) fillStart(r *ops.StartRequest, f execFlags) error {
	password, err := a.argument(f.password, false)
	if err != nil {
		return fmt.Errorf("--password: %w", err)
	}
	config, err := a.argument(f.minerConfig, false)
	if err != nil {
		return fmt.Errorf("--miner-config: %w", err)
	}
	r.Miner, r.Name = first(f.miner, r.Miner), first(f.name, r.Name)
	r.Algorithm, r.Pool, r.Wallet = first(f.algorithm, r.Algorithm), first(f.pool, r.Pool), first(f.wallet, r.Wallet)
	r.Password, r.Profile = first(strings.TrimRight(password, "\r\n"), r.Password), first(f.profile, r.Profile)
	r.Threads = first(f.threads, r.Threads)
	if config != "" {
		r.Config = jsontext.Value(config)
	}
	if r.Miner == "" {
		return errors.New("start which miner? Give --miner, for example --miner refpow")
	}
	return nil
}

func fillLogs(cmd *cobra.Command, r *ops.LogsRequest, f execFlags) (err error) {
	r.Name, r.Lines, r.Follow = first(f.name, r.Name), first(f.lines, r.Lines), f.follow || r.Follow
	if cmd.Flags().Changed("offset") {
		r.Offset = &f.offset
	}
	if f.since != "" {
		if r.Since, err = parseTime(f.since); err != nil {
			return fmt.Errorf("--since: %w", err)
		}
	}
	if f.until != "" {
		if r.Until, err = parseTime(f.until); err != nil {
			return fmt.Errorf("--until: %w", err)
		}
	}
	return nil
}

// first returns the first value that is not zero.
func first[T comparable](values ...T) (v T) {
	for _, x := range values {
		if x != v {
			return x
		}
	}
	return v
}

// parseTime reads a duration back from now, or RFC 3339, as Unix milliseconds.
func parseTime(s string) (int64, error) {
	if d, err := time.ParseDuration(s); err == nil {
		return time.Now().Add(-d.Abs()).UnixMilli(), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return 0, fmt.Errorf("%q: want a duration such as 10m, or a time such as 2026-11-21T12:00:00Z", s)
	}
	return t.UnixMilli(), nil
}

// argument returns the text itself, the contents of the file behind @, or with
// stdin allowed, what "-" reads.
func (a *app) argument(s string, stdin bool) (string, error) {
	var r io.Reader
	switch {
	case s == "-" && stdin:
		r = a.stdin
	case strings.HasPrefix(s, "@"):
		f, err := os.Open(s[1:])
		if err != nil {
			return "", err
		}
		defer f.Close()
		r = f
	default:
		return s, nil
	}
	b, err := io.ReadAll(io.LimitReader(r, maxPayload+1))
	if err == nil && len(b) > maxPayload {
		err = fmt.Errorf("more than %d bytes", maxPayload)
	}
	return string(b), err
}
