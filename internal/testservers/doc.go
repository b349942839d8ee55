// Package testservers starts servers for tests, from PATH, on ports of 127.0.0.1, and ends them with
// the test. Their ports lie outside the range from which the system gives ports away, and are left
// alone by other test processes. A server that ends at start, or whose port another process has,
// fails the test with what it has printed.
//
// A server that is not installed skips the test, unless the environment has
// SHOAL_REQUIRE_SERVERS=1: then its absence is a failure.
package testservers
