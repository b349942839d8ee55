// Package conformance says which tests hold the normative statements of MQTT 5.0 (mqtt-5.0.md) and 3.1.1 (mqtt-3.1.1.md), statement by
// statement. Its test fails when a statement has no test, when a test that is named does not exist, and when one does not run.
package conformance
