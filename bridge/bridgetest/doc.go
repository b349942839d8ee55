// Package bridgetest is the contract that every bridge keeps: what is published while it runs, or while
// the system at its other end is away, or while the broker is down, arrives there, in order, at least
// once; what that system sends is published; and the bridge ends when it is told to.
//
//	func TestContract(t *testing.T) {
//		bridgetest.Run(t, func(t *testing.T) bridgetest.Far { return … })
//	}
package bridgetest
