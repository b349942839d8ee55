// Package document has the JSON documents in which bridges hand messages and events to systems that do
// not speak MQTT. All bridges write the same ones: whoever reads those of one can read those of all.
package document
