package fleetdir_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/admin"
	"github.com/seed-b490fa12/swarm/internal/fleetdir"
)

// A node without a fleet opens none; one whose membership is taken away while it runs ends.
func TestOpenUntilLeft(t *testing.T) {
	dir := t.TempDir()
	if f, err := fleetdir.Open(dir, nil, nil); f != nil || err != nil {
		t.Fatalf("without a fleet: %v, %v", f, err)
	}
	if _, err := admin.InitFleet(admin.Init{StateDir: dir, Fleet: "home", Name: "laptop"}); err != nil {
		t.Fatal(err)
	}
	f, err := fleetdir.Open(dir, nil, nil)
	if err != nil || f == nil {
		t.Fatalf("with a fleet: %v, %v", f, err)
	}
	if err := trust.LeaveFleet(fleetdir.Dir(dir)); err != nil {
		t.Fatal(err)
	}
	if err := fleetdir.UntilLeft(t.Context(), f); !errors.Is(err, fleetdir.ErrLeft) {
		t.Errorf("got %v, want %v", err, fleetdir.ErrLeft)
	}
}

// The owner is told of a sheet that was never printed, of an issuer that it does not name, and of a
// grant that ends soon.
func TestWarnings(t *testing.T) {
	dir := t.TempDir()
	adm, err := admin.InitFleet(admin.Init{StateDir: dir, Fleet: "home", Name: "laptop", Life: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if w := fleetdir.Warnings(adm.Fleet); len(w) != 1 || !strings.Contains(w[0], "laptop") {
		t.Errorf("warnings %q, want that the grant of laptop ends", w)
	}
	if w := fleetdir.Warnings(nil); w != nil {
		t.Errorf("without a fleet: %q", w)
	}
	if w := fleetdir.SheetWarning(adm.Fleet, dir); !strings.Contains(w, "no backup sheet") {
		t.Errorf("never printed: %q", w)
	}
	for _, printed := range []struct {
		issuers bool
		want    string
	}{{false, "does not name the issuers laptop"}, {true, ""}} {
		sheet, err := adm.Sheet()
		if err != nil {
			t.Fatal(err)
		}
		if !printed.issuers {
			sheet.Issuers, sheet.Delegates = nil, nil
		}
		if err := adm.NoteSheet(sheet); err != nil {
			t.Fatal(err)
		}
		if w := fleetdir.SheetWarning(adm.Fleet, dir); !strings.Contains(w, printed.want) || printed.want == "" && w != "" {
			t.Errorf("printed with issuers %v: %q, want %q", printed.issuers, w, printed.want)
		}
	}
}
