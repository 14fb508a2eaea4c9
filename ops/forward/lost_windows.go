package forward

import "net"

// lost knows nothing here: a reset is noticed when the next bytes are read.
func lost(*net.TCPConn) error { return nil }
