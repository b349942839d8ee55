package program

import (
	"fmt"
	"io"
	"net"
)

// HowToTry writes two commands to try a broker with, after a line that says what they are. The addresses are host:port.
func HowToTry(w io.Writer, what, subscribeAt, publishAt string) {
	subHost, subPort, _ := net.SplitHostPort(subscribeAt) // somebody listens there
	pubHost, pubPort, _ := net.SplitHostPort(publishAt)
	_, _ = fmt.Fprintf(w, `
%s

    mosquitto_sub -h %s -p %s -t 'hello/#' -q 1 -v
    mosquitto_pub -h %s -p %s -t hello/shoal -m 'hello' -q 1

Ctrl-C ends it.

`, what, subHost, subPort, pubHost, pubPort)
}
