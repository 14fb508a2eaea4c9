package manual

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

func TestWrite(t *testing.T) {
	do := func(*cobra.Command, []string) error { return nil }
	root := &cobra.Command{Use: "swarm", Short: "Control machines", RunE: do}
	grant := &cobra.Command{
		Use: "grant NAME", Short: "Give a right", RunE: do,
		Long: "Verbs: *.read for all that read, * for all. Write --on my_label=<x>.", Example: "  swarm grant friend --verbs '*.read'",
	}
	grant.Flags().String("verbs", "", "`VERBS` to give")
	root.AddCommand(grant, &cobra.Command{Use: "secret", Hidden: true, RunE: do})
	dir := t.TempDir()
	if err := Write(root, dir, "1.2.3", time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "swarm-grant.1"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"Nov 2026" "swarm 1.2.3"`, "*.read for all that read, * for all", "my_label=<x>", "swarm grant friend --verbs", `\fB--verbs\fP`} {
		if !strings.Contains(strings.NewReplacer(`\-`, "-", `\&`, "").Replace(string(b)), want) {
			t.Errorf("the page lacks %s:\n%s", want, b)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "swarm-secret.1")); err == nil {
		t.Error("there is a page of a command that is not shown")
	}
	if err := Write(root, filepath.Join(dir, "absent"), "1.2.3", time.Now()); err == nil {
		t.Error("a directory that is not there is no error")
	}
}
