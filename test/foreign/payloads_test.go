// Package foreign_test holds what other implementations are checked with: the
// test vectors for the payloads of swarm's families, and, with the tag slow, a
// client and a worker in another language.
package foreign_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/seed-b490fa12/swarm/deploy"
	"github.com/seed-b490fa12/swarm/host/node/addrs"
	"github.com/seed-b490fa12/swarm/host/node/join"
	"github.com/seed-b490fa12/swarm/host/node/membership"
	"github.com/seed-b490fa12/swarm/internal/audit"
	"github.com/seed-b490fa12/swarm/ops"
	"github.com/seed-b490fa12/swarm/ops/cp"
	"github.com/seed-b490fa12/swarm/ops/forward"
	"github.com/seed-b490fa12/swarm/ops/power"
	"github.com/seed-b490fa12/swarm/ops/run"
	"github.com/seed-b490fa12/swarm/streams"
)

var update = flag.Bool("update", false, "write the vectors anew")

// payloadCase is the payload of a message; one without a code is valid.
type payloadCase struct {
	Name    string         `json:"name"`
	Type    string         `json:"type"`
	Payload jsontext.Value `json:"payload"`
	Code    streams.Code   `json:"code,omitzero"`
}

const (
	about = "Payloads of ops, logs, run, audit, deploy, join and peers. A case without a code is valid; a request with one is answered with it."
	me    = "12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5"
	// The file "hello.txt" holds "hello\n".
	manifest = `{"name":"greeting","release":"4a0ef8d0b7d6a8f5","files":[{"path":"hello.txt","mode":"0644","size":6,"sha256":"5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"}]}`
)

func payloadCases(t *testing.T) (cases []payloadCase) {
	add := func(typ string, code streams.Code, name, payload string) {
		cases = append(cases, payloadCase{name, typ, jsontext.Value(payload), code})
	}
	x := func(n int) string { return strings.Repeat("x", n) }
	const invalid = streams.CodeInvalid

	add("get_stats", 0, "nothing to say", `{}`)
	add("get_stats", invalid, "an array", `[]`)
	add("stats", 0, "an idle machine that knows little", `{"node":"`+me+`","name":"rig-01","uptimeSeconds":12.5,"host":{"cpuPercent":null,"load1":null,"memTotal":null,"memUsed":null,"diskTotal":null,"diskUsed":null},"workloads":[],"seq":1,"boot":1795249800250}`)
	add("stats", 0, "a machine with devices", `{"node":"`+me+`","name":"rig-01","uptimeSeconds":12.5,"host":{"cpuPercent":null,"load1":null,"memTotal":null,"memUsed":null,"diskTotal":null,"diskUsed":null,`+
		`"devices":[{"id":"00000000:01:00.0","kind":"gpu","name":"NVIDIA GeForce RTX 3080","tempCelsius":62,"powerWatts":221.34,"fanPercent":70,"usePercent":100,"memTotal":10737418240,"memUsed":5306843136},`+
		`{"id":"00000000:02:00.0","kind":"gpu","tempCelsius":null,"powerWatts":null,"reason":"its driver does not answer"}]},"workloads":[],"seq":1,"boot":1795249800250}`)
	add("stats", 0, "a mining machine", `{"node":"`+me+`","name":"rig-01","uptimeSeconds":3600,"host":{"cpuPercent":98.5,"load1":3.9,"memTotal":25274793984,"memUsed":1234567,"diskTotal":270553174016,"diskUsed":15055716352,"tempCelsius":61.5},`+
		`"workloads":[{"name":"refpow","kind":"refpow","state":"mining","algorithm":"sha256d","hashRate":1234567.5,"sharesAccepted":31,"sharesRejected":0,"uptimeSeconds":3590,"restarts":0,"pool":"stratum+tcp://pool.example.org:3333"},`+
		`{"name":"xmrig","kind":"xmrig","state":"stopped","algorithm":"rx/0","hashRate":null,"sharesAccepted":null,"sharesRejected":null,"uptimeSeconds":null,"restarts":2,"pool":""}],"seq":720,"boot":1795249800250}`)

	add("stats", 0, "a miner without a pool", `{"node":"`+me+`","name":"rig-01","uptimeSeconds":3600,"host":{"cpuPercent":98.5,"load1":3.9,"memTotal":25274793984,"memUsed":1234567,"diskTotal":270553174016,"diskUsed":15055716352},`+
		`"workloads":[{"name":"xmrig","kind":"xmrig","state":"degraded","algorithm":"rx/0","hashRate":null,"sharesAccepted":31,"sharesRejected":1,"uptimeSeconds":3590,"restarts":0,"pool":"","reason":"not connected to a pool, 3 attempts failed"}],"seq":721,"boot":1795249800250}`)

	add("start_miner", 0, "the least", `{"miner":"refpow"}`)
	add("start_miner", 0, "all members", `{"miner":"xmrig","name":"gpu-0","algorithm":"rx/0","threads":4,"pool":"stratum+ssl://pool.example.org:443","wallet":"48abc","password":"x","config":{"donate-level":1}}`)
	add("start_miner", 0, "a profile", `{"miner":"refpow","profile":"eco"}`)
	add("start_miner", invalid, "no miner", `{}`)
	add("start_miner", invalid, "a name that leads out", `{"miner":"refpow","name":"../x"}`)
	add("start_miner", 0, "a name of 63 characters", `{"miner":"refpow","name":"`+x(63)+`"}`)
	add("start_miner", invalid, "a name of 64 characters", `{"miner":"refpow","name":"`+x(64)+`"}`)
	add("start_miner", invalid, "a pool that is no stratum URL", `{"miner":"refpow","pool":"http://pool.example.org:3333"}`)
	add("start_miner", invalid, "a pool without a port", `{"miner":"refpow","pool":"stratum+tcp://pool.example.org"}`)
	add("start_miner", invalid, "a wallet that is an option", `{"miner":"refpow","wallet":"--config=/etc/passwd"}`)
	add("start_miner", invalid, "a password with a line end", `{"miner":"refpow","password":"a\nb"}`)
	add("start_miner", invalid, "less than no threads", `{"miner":"refpow","threads":-1}`)
	add("start_miner", invalid, "1,025 threads", `{"miner":"refpow","threads":1025}`)
	add("start_miner", invalid, "threads and a profile", `{"miner":"refpow","threads":1,"profile":"eco"}`)
	add("start_miner", invalid, "a config that is no object", `{"miner":"refpow","config":[1]}`)
	add("start_miner", 0, "another pool for the one that runs", `{"replace":true,"pool":"stratum+tcp://pool.example.org:3333"}`)
	add("stop_miner", 0, "the one that runs", `{"only":true}`)
	add("stop_miner", invalid, "a name and only", `{"name":"refpow","only":true}`)
	add("stop_miner", 0, "a name", `{"name":"refpow"}`)
	add("stop_miner", invalid, "no name", `{}`)
	add("miner_ack", 0, "running", `{"name":"refpow","running":true,"state":"starting","hashRate":null,"algorithm":"sha256d"}`)

	add("start_workload", 0, "the least", `{"name":"web","argv":["true"]}`)
	add("start_workload", 0, "all members", `{"name":"web","argv":["sh","-c","exec serve"],"driver":"process","dir":"/srv","env":{"PORT":"80"},"restart":"always"}`)
	add("start_workload", 0, "a module", `{"name":"job","argv":["/srv/job.wasm","input.txt"],"driver":"wasm"}`)
	add("start_workload", 0, "limits", `{"name":"web","argv":["true"],"memoryBytes":67108864,"cpu":0.5,"processes":100}`)
	add("start_workload", 0, "the least limits", `{"name":"web","argv":["true"],"memoryBytes":1048576,"cpu":0.01,"processes":1}`)
	add("start_workload", invalid, "too little memory", `{"name":"web","argv":["true"],"memoryBytes":1048575}`)
	add("start_workload", invalid, "too little of a processor", `{"name":"web","argv":["true"],"cpu":0.009}`)
	add("start_workload", invalid, "processes below none", `{"name":"web","argv":["true"],"processes":-1}`)
	add("start_workload", invalid, "no name", `{"argv":["true"]}`)
	add("start_workload", invalid, "no program", `{"name":"web","argv":[]}`)
	add("start_workload", invalid, "a driver that there is not", `{"name":"web","argv":["true"],"driver":"magic"}`)
	add("start_workload", invalid, "another word for restart", `{"name":"web","argv":["true"],"restart":"sometimes"}`)
	add("start_workload", invalid, "a relative directory", `{"name":"web","argv":["true"],"dir":"srv"}`)
	add("start_workload", invalid, "a variable of the worker's own", `{"name":"web","argv":["true"],"env":{"SWARM_WORKLOAD":"/"}}`)
	add("stop_workload", 0, "a name", `{"name":"web"}`)
	add("stop_workload", invalid, "no name", `{}`)
	add("workload_ack", 0, "running", `{"name":"web","running":true,"state":"running","pid":4711}`)
	add("workload_ack", 0, "stopped", `{"name":"web","running":false,"state":"stopped","pid":null}`)
	add("list_workloads", 0, "nothing is asked", `{}`)
	add("workloads", 0, "one that has ended", `{"workloads":[{"name":"web","kind":"process","state":"ended","algorithm":"","hashRate":null,"sharesAccepted":null,"sharesRejected":null,"uptimeSeconds":null,"restarts":0,"pool":"","reason":"it ended with exit code 0"}]}`)

	add("get_logs", 0, "the only workload's last lines", `{}`)
	add("get_logs", 0, "all members but offset", `{"name":"refpow","lines":50,"since":1795249800000,"until":1795249900000,"follow":true}`)
	add("get_logs", 0, "going on from an offset", `{"name":"refpow","offset":0,"follow":true}`)
	add("get_logs", 0, "going on with a run", `{"name":"refpow","offset":10,"follow":true,"run":"IZ5HCTQ4U3XJTXQLPJ7MKEJN7E"}`)
	add("get_logs", invalid, "a run of 65 characters", `{"offset":1,"follow":true,"run":"`+strings.Repeat("r", 65)+`"}`)
	add("get_logs", 0, "the agent's own log", `{"agent":true,"lines":50}`)
	add("get_logs", invalid, "the agent's own log of a workload", `{"agent":true,"name":"refpow"}`)
	add("get_logs", 0, "10,000 lines", `{"lines":10000}`)
	add("get_logs", invalid, "10,001 lines", `{"lines":10001}`)
	add("get_logs", invalid, "until before since", `{"since":2,"until":1}`)
	add("get_logs", invalid, "an offset and since", `{"offset":1,"since":1}`)
	add("get_logs", invalid, "a negative offset", `{"offset":-1}`)
	add("logs", 0, "two lines", `{"name":"refpow","lines":[{"offset":0,"time":1795249800250,"stream":"stdout","text":"share accepted"},{"offset":15,"time":1795249800251,"stream":"stderr","text":"warn"}],"next":20,"hasMore":false}`)
	add("logs", 0, "a gap, and the end", `{"name":"refpow","lines":[],"next":4096,"hasMore":false,"gap":{"from":0,"to":4096},"exit":{"code":-1,"signal":"killed"}}`)

	const hash = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
	add("run", 0, "a program", `{"argv":["uptime"]}`)
	add("run", 0, "all members", `{"argv":["sh","-c","cat > list"],"dir":"/tmp","env":{"LC_ALL":"C"},"input":true,"timeoutMs":60000}`)
	add("run", invalid, "no program", `{"argv":[]}`)
	add("run", 0, "256 arguments", `{"argv":["p"`+strings.Repeat(`,""`, 255)+`]}`)
	add("run", invalid, "257 arguments", `{"argv":["p"`+strings.Repeat(`,""`, 256)+`]}`)
	add("run", invalid, "a zero byte in an argument", `{"argv":["p","\u0000"]}`)
	add("run", invalid, "a relative directory", `{"argv":["p"],"dir":"tmp"}`)
	add("run", invalid, "a variable of the worker's own", `{"argv":["p"],"env":{"SWARM_WORKLOAD":"/"}}`)
	add("run", invalid, "a variable without a name", `{"argv":["p"],"env":{"":"x"}}`)
	add("run", invalid, "a negative time", `{"argv":["p"],"timeoutMs":-1}`)
	add("run", 0, "a terminal", `{"argv":["top"],"tty":{"rows":24,"cols":80,"term":"xterm-256color"}}`)
	add("run", 0, "the largest terminal", `{"argv":["top"],"tty":{"rows":4096,"cols":4096}}`)
	add("run", invalid, "a terminal with a row more", `{"argv":["top"],"tty":{"rows":4097,"cols":80}}`)
	add("run", invalid, "a terminal without a size", `{"argv":["top"],"tty":{}}`)
	add("run", 0, "a kind of terminal of 64 characters", `{"argv":["top"],"tty":{"rows":24,"cols":80,"term":"`+x(64)+`"}}`)
	add("run", invalid, "a kind of terminal of 65 characters", `{"argv":["top"],"tty":{"rows":24,"cols":80,"term":"`+x(65)+`"}}`)
	add("run", invalid, "a kind of terminal that is a path", `{"argv":["top"],"tty":{"rows":24,"cols":80,"term":"../x"}}`)
	add("run", 0, "a command that goes on alone", `{"argv":["make"],"detach":true}`)
	add("run", invalid, "a command that goes on alone with input", `{"argv":["make"],"detach":true,"input":true}`)
	add("attach", 0, "a list", `{}`)
	add("attach", 0, "all members", `{"id":"k4xq2m","offset":4096,"stop":true}`)
	add("attach", invalid, "a negative offset", `{"id":"k4xq2m","offset":-1}`)
	add("attach", invalid, "an ID of 17 characters", `{"id":"`+x(17)+`"}`)
	add("attach", invalid, "an ID that is a path", `{"id":"../x"}`)
	add("attach", invalid, "the end of no command", `{"stop":true}`)
	add("shell", 0, "no terminal", `{"input":true}`)
	add("shell", 0, "all members", `{"tty":{"rows":24,"cols":80,"term":"xterm-256color"},"locale":{"LANG":"de_DE.UTF-8"},"input":true}`)
	add("shell", invalid, "a variable that is no locale", `{"locale":{"LD_PRELOAD":"x"}}`)
	add("shell", invalid, "a locale of 65 characters", `{"locale":{"LANG":"`+x(65)+`"}}`)
	add("shell", invalid, "a terminal without columns", `{"tty":{"rows":24,"cols":0}}`)
	add("run_input", 0, "another size", `{"size":{"rows":50,"cols":132}}`)
	add("run_input", invalid, "a size without rows", `{"size":{"rows":0,"cols":132}}`)
	add("run_input", 0, "the last bytes of input", `{"data":"aGVsbG8K","end":true}`)
	add("run_input", 0, "output was dealt with", `{"taken":65536}`)
	add("run_input", invalid, "less than nothing was dealt with", `{"taken":-1}`)
	add("run_output", 0, "it runs", `{"started":{"pid":4711}}`)
	add("run_output", 0, "it runs at a terminal", `{"started":{"pid":4711,"tty":true}}`)
	add("run_output", 0, "it goes on alone", `{"started":{"pid":4711,"id":"k4xq2m"}}`)
	add("run_output", 0, "what was kept", `{"stream":"stdout","data":"/wD+","next":4099}`)
	add("run_output", 0, "what is kept no more", `{"next":4096,"gap":{"from":0,"to":4096}}`)
	add("run_output", 0, "those that go on alone", `{"detached":[{"id":"k4xq2m","command":"\"make\" detached","since":1795249800250,"pid":4711,"bytes":0}]}`)
	add("run_output", 0, "bytes that are no text", `{"stream":"stderr","offset":4,"data":"/wD+"}`)
	add("run_output", invalid, "bytes of no stream", `{"data":"/wD+"}`)
	add("run_output", 0, "input was taken", `{"taken":6}`)
	add("run_output", 0, "exited", `{"exit":{"code":0,"stdoutBytes":6,"stderrBytes":0,"seconds":0.25}}`)
	add("run_output", 0, "ended after its time", `{"exit":{"signal":"SIGTERM","number":15,"why":"timeout","stdoutBytes":0,"stderrBytes":0,"seconds":60}}`)

	add("power", 0, "a reboot", `{"action":"reboot"}`)
	add("power", 0, "a shutdown", `{"action":"shutdown"}`)
	add("power", invalid, "something else", `{"action":"explode"}`)
	add("power", invalid, "nothing", `{}`)
	add("power_ack", 0, "about to reboot", `{"action":"reboot","bootId":"5a2c8cf1-7d41-4b9f-9a3e-4c1c7f0f6f57"}`)
	add("get_power", 0, "nothing to say", `{}`)
	add("power_state", 0, "it runs", `{"bootId":"5a2c8cf1-7d41-4b9f-9a3e-4c1c7f0f6f57"}`)
	add("power_state", 0, "it was not done", `{"bootId":"","failed":"/sbin/shutdown: exit status 1: "}`)
	add("forward", 0, "a port of the machine", `{"target":"127.0.0.1:80"}`)
	add("forward", 0, "a name", `{"target":"nas.lan:5000"}`)
	add("forward", 0, "IPv6", `{"target":"[2001:db8::7]:443"}`)
	for _, bad := range [][2]string{
		{"all addresses", "0.0.0.0:80"}, {"no port", "127.0.0.1"}, {"port 0", "127.0.0.1:0"}, {"a zone", "[fe80::1%eth0]:80"}, {"a number as a name", "2130706433:80"},
		{"IPv4 within IPv6", "[::ffff:127.0.0.1]:80"}, {"IPv6 in a long form", "[0:0:0:0:0:0:0:1]:80"}, {"capital letters", "LOCALHOST:80"}, {"a dot at the end", "localhost.:80"},
	} {
		add("forward", invalid, bad[0], `{"target":"`+bad[1]+`"}`)
	}
	add("forwarded", 0, "connected", `{}`)
	add("forward_check", 0, "a port", `{"target":"127.0.0.1:80"}`)
	add("forward_check", invalid, "no target", `{}`)
	add("forward_allowed", 0, "yes", `{}`)

	add("cp_read", 0, "a file", `{"path":"/srv/app.log"}`)
	add("cp_read", 0, "a directory", `{"path":"logs","list":true}`)
	add("cp_read", 0, "all of the directory", `{"path":""}`)
	add("cp_read", invalid, "an escape sequence", `{"path":"\u001b[2J"}`)
	add("cp_reading", 0, "it begins", `{}`)
	add("cp_write", 0, "a file into a directory", `{"path":"/srv/","name":"app.conf","bytes":4711,"entries":1}`)
	add("cp_write", 0, "the contents of a directory", `{"path":"/srv/www","dir":true,"bytes":9422,"entries":250000}`)
	add("cp_write", invalid, "a file without a name", `{"path":"/srv","bytes":1,"entries":1}`)
	add("cp_write", invalid, "a name that leads out", `{"path":"/srv","name":"..","bytes":1,"entries":1}`)
	add("cp_write", invalid, "a name with a slash", `{"path":"/srv","name":"a/b","bytes":1,"entries":1}`)
	add("cp_write", invalid, "the name of a part", `{"path":"/srv","name":".a.swarm-part","bytes":1,"entries":1}`)
	add("cp_write", invalid, "less than nothing", `{"path":"/srv","name":"a","bytes":-1,"entries":1}`)
	add("cp_writing", 0, "it begins", `{}`)

	add("get_audit", 0, "all that is kept", `{}`)
	add("get_audit", 0, "all members", `{"since":1795249800000,"limit":100000,"verify":true,"heads":[{"count":7,"hash":"`+hash+`"}]}`)
	add("get_audit", invalid, "more entries than there may be", `{"limit":100001}`)
	add("get_audit", invalid, "a time before 1970", `{"since":-1}`)
	add("get_audit", invalid, "nine heads", `{"heads":[`+strings.Repeat(`{"count":1,"hash":"`+hash+`"},`, 8)+`{"count":1,"hash":"`+hash+`"}]}`)
	add("audit", 0, "an entry", `{"entries":[{"seq":7,"time":1795249800250,"kind":"command","peer":"`+me+`","name":"laptop","verb":"miner.control","type":"stop_miner","id":"1b4e28ba-2fa1-4d27-883f-0016d3cca405","summary":"name=refpow","result":"begun","prev":"`+hash+`","hash":"`+hash+`"}]}`)
	add("audit", 0, "the end of a log that is whole", `{"head":{"count":7,"hash":"`+hash+`"},"intact":true}`)
	add("audit", 0, "the end, and who was refused", `{"head":{"count":7,"hash":"`+hash+`"},"refused":[{"peer":"`+me+`","count":3,"last":1795249800250}]}`)
	add("audit", 0, "the end of a log that is not", `{"head":{"count":7,"hash":"`+hash+`"},"intact":false,"reason":"entry 3 was changed"}`)

	var m deploy.Manifest
	if err := json.Unmarshal([]byte(manifest), &m); err != nil {
		t.Fatal(err)
	}
	good := strings.Replace(manifest, m.Release, m.ComputeRelease(), 1)
	add("deploy", 0, "one file", `{"manifest":`+good+`,"size":6}`)
	add("deploy", invalid, "a size that is not the files'", `{"manifest":`+good+`,"size":7}`)
	add("deploy", 0, "the rest of one file", `{"manifest":`+good+`,"from":4,"size":2,"transfer":"K5T2QZ"}`)
	add("deploy", 0, "what is missing?", `{"manifest":`+good+`,"from":6,"size":0,"transfer":"K5T2QZ"}`)
	add("deploy", invalid, "a rest of no transfer", `{"manifest":`+good+`,"from":4,"size":2}`)
	add("deploy", invalid, "a rest beyond the end", `{"manifest":`+good+`,"from":7,"size":-1,"transfer":"K5T2QZ"}`)
	add("deploy", invalid, "a release that is not the files'", `{"manifest":`+manifest+`,"size":6}`)
	add("deploy", invalid, "no files", `{"manifest":{"name":"greeting","release":"0000000000000000","files":[]},"size":0}`)
	add("deploy", invalid, "a name that leads out", `{"manifest":`+strings.Replace(good, `"greeting"`, `".."`, 1)+`,"size":6}`)
	for _, p := range []struct{ name, path string }{
		{"leads out", "../x"}, {"is absolute", "/etc/passwd"}, {"has a backslash", `a\\b`}, {"has a drive", "c:x"}, {"is special on Windows", "aux.txt"},
	} {
		bad := m
		bad.Files = []deploy.File{m.Files[0]}
		bad.Files[0].Path = strings.ReplaceAll(p.path, `\\`, `\`)
		text := strings.Replace(strings.Replace(manifest, "hello.txt", p.path, 1), m.Release, bad.ComputeRelease(), 1)
		add("deploy", invalid, "a path that "+p.name, `{"manifest":`+text+`,"size":6}`)
	}
	add("deploy_ack", 0, "partial", `{"name":"greeting","success":false,"release":"","previous":"","bytes":0,"state":"partial","staged":4}`)
	add("deploy_ack", 0, "deployed", `{"name":"greeting","success":true,"release":"`+m.ComputeRelease()+`","previous":"","bytes":6,"state":"deployed"}`)
	return append(cases, fleetPayloads(t)...)
}

// payloadOf returns a pointer to the payload of a type, and whether the type
// is a reply.
func payloadOf(t *testing.T, typ string) (v any, reply bool) {
	t.Helper()
	switch typ {
	case "get_stats":
		return new(ops.StatsRequest), false
	case "start_miner":
		return new(ops.StartRequest), false
	case "stop_miner":
		return new(ops.StopRequest), false
	case "start_workload":
		return new(ops.WorkloadRequest), false
	case "stop_workload":
		return new(ops.NameRequest), false
	case "workload_ack":
		return new(ops.WorkloadAck), true
	case "list_workloads":
		return new(ops.WorkloadsRequest), false
	case "workloads":
		return new(ops.Workloads), true
	case "get_logs":
		return new(ops.LogsRequest), false
	case "deploy":
		return new(deploy.Request), false
	case "run":
		return new(run.Request), false
	case "attach":
		return new(run.AttachRequest), false
	case "shell":
		return new(run.ShellRequest), false
	case "run_input":
		return new(run.Input), false
	case "run_output":
		return new(run.Output), true
	case "power":
		return new(power.Request), false
	case "power_ack":
		return new(power.Ack), true
	case "get_power":
		return new(power.StateRequest), false
	case "power_state":
		return new(power.State), true
	case "forward", "forward_check":
		return new(forward.Request), false
	case "forwarded", "forward_allowed":
		return new(forward.Allowed), true
	case "cp_read":
		return new(cp.ReadRequest), false
	case "cp_write":
		return new(cp.WriteRequest), false
	case "cp_reading", "cp_writing":
		return new(struct{}), true
	case "get_audit":
		return new(audit.Request), false
	case "audit":
		return new(audit.Answer), true
	case "stats":
		return new(ops.Stats), true
	case "miner_ack":
		return new(ops.MinerAck), true
	case "logs":
		return new(ops.Logs), true
	case "deploy_ack":
		return new(deploy.Ack), true
	case "join":
		return new(join.Request), false
	case "join_ack":
		return new(join.Ack), true
	case "offer":
		return new(join.OfferRequest), false
	case "offer_ack":
		return new(join.OfferAck), true
	case "put_ticket":
		return new(join.TicketRequest), false
	case "ticket_ack":
		return new(join.TicketAck), true
	case "compare":
		return new(membership.CompareRequest), false
	case "compared":
		return new(membership.Compared), true
	case "get_statements":
		return new(membership.StatementsRequest), false
	case "statements", "put_statements":
		return new(membership.Statements), true
	case "statements_ack":
		return new(membership.StatementsAck), true
	case "get_addr":
		return new(addrs.AddrRequest), false
	case "addr":
		return new(addrs.Addr), true
	}
	t.Fatalf("payloadOf has no type %s", typ)
	return nil, false
}

func TestPayloadVectors(t *testing.T) {
	for _, c := range vectorsOf(t, "families.json", about, payloadCases(t)) {
		t.Run(c.Type+" "+c.Name, func(t *testing.T) {
			v, reply := payloadOf(t, c.Type)
			m := streams.Message{Payload: c.Payload}
			if err := m.ParsePayload(v); streams.CodeOf(err) != c.Code {
				t.Fatalf("got %v, want %d", err, c.Code)
			}
			if reply && c.Code == 0 {
				checkMembers(t, c.Payload, v)
			}
		})
	}
}

// checkMembers checks that a reply has the members of the vector and no others.
func checkMembers(t *testing.T, want jsontext.Value, v any) {
	t.Helper()
	if err := json.Unmarshal(want, v, json.RejectUnknownMembers(true)); err != nil {
		t.Error(err)
	}
	b, err := json.Marshal(v)
	got, want := jsontext.Value(b), want.Clone()
	if err != nil || got.Canonicalize() != nil || want.Canonicalize() != nil || !bytes.Equal(got, want) {
		t.Errorf("encoded again: %v\n%s\nwant\n%s", err, got, want)
	}
}

// vectorsOf returns the cases of a file, which are those that the tests make.
func vectorsOf[C any](t *testing.T, name, about string, cases []C) []C {
	t.Helper()
	type file struct {
		About string `json:"about"`
		Cases []C    `json:"cases"`
	}
	path := filepath.Join("..", "..", "streams", "testdata", "vectors", name)
	want, err := json.Marshal(file{about, cases}, jsontext.WithIndent("  "), json.Deterministic(true))
	if err != nil {
		t.Fatal(err)
	}
	want = append(want, '\n')
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what the tests make: after a wanted change of the wire run with -update, and write it down in docs/protocol.md", path)
	}
	var f file
	if err := json.Unmarshal(got, &f); err != nil {
		t.Fatal(err)
	}
	return f.Cases
}
