package reach

import (
	"net"
	"runtime"
	"testing"

	"github.com/libp2p/go-netroute"
)

// TestNoRouteToNowhere fails when go-netroute answers what the library asks it on Linux to find a
// router: then pmp.go may go. See docs/upstream.md.
func TestNoRouteToNowhere(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("go-netroute asks the kernel in this way on Linux only")
	}
	if defaultRouter() == nil {
		t.Skip("this machine has no router")
	}
	routes, err := netroute.New()
	if err != nil {
		t.Fatal(err)
	}
	if _, router, _, err := routes.Route(net.IPv4zero); err == nil && router != nil {
		t.Errorf("go-netroute finds the router %s for 0.0.0.0", router)
	}
}
