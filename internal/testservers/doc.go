// Package testservers starts servers for tests, from PATH, on free ports of 127.0.0.1, and ends them with the test.
//
// A server that is not installed skips the test, unless the environment has SHOAL_REQUIRE_SERVERS=1: then its absence is a failure.
package testservers
