// Package mqtttest has an MQTT client for tests: it says exactly what a test tells it to say, and fails the test when
// something else comes back than was expected. It works over any net.Conn, in the versions 3.1, 3.1.1 and 5.0.
//
// A Client has no goroutine. Each call that waits has a time limit, 5 seconds unless changed, and fails the test
// when it has passed; inside a testing/synctest bubble that time is virtual. Nothing ever sleeps to wait.
package mqtttest
