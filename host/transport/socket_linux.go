package transport

import (
	"time"

	"golang.org/x/sys/unix"
)

// kernelLine asks the kernel: tcp_info of tcp(7).
func kernelLine(fd int) (queued time.Duration, resent uint64, known bool) {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil || info.Min_rtt == 0 || info.Rtt == 0 {
		return 0, 0, false
	}
	queued = time.Duration(info.Rtt-min(info.Rtt, info.Min_rtt)) * time.Microsecond
	if info.Delivery_rate > 0 { // bytes a second
		queued += time.Duration(float64(info.Notsent_bytes) / float64(info.Delivery_rate) * float64(time.Second))
	}
	return queued, uint64(info.Total_retrans), true
}
