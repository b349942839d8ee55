// Package program is what the examples that are whole programs have in common: signals and exit status (run.go), a log for
// people (log.go, wording.go), addresses (address.go), the directory for data (data.go) and brokers that start, serve and
// drain (serve.go).
package program
