package badger

import (
	"log/slog"
	"time"

	"github.com/dgraph-io/badger/v4"
	badgeroptions "github.com/dgraph-io/badger/v4/options"
)

// Option changes a Store.
type Option func(*options)

type options struct {
	lockTimeout time.Duration
	noSync      bool
	acceptLoss  bool
	reserve     uint64
	gcInterval  time.Duration
	logger      *slog.Logger
	free        func(dir string) (uint64, error)
}

func defaults() options {
	return options{lockTimeout: 5 * time.Second, reserve: 256 << 20, gcInterval: 10 * time.Minute, logger: slog.New(slog.DiscardHandler), free: freeBytes}
}

// WithLockTimeout sets how long Store.Open waits while another process has the directory locked. The default is 5
// seconds; zero and less means to try once.
func WithLockTimeout(d time.Duration) Option { return func(o *options) { o.lockTimeout = d } }

// WithNoSync leaves out the fsync of every Commit. What was committed survives the end of the process, but the last of
// it not a crash of the machine. It is for tests.
func WithNoSync() Option { return func(o *options) { o.noSync = true } }

// WithReserve sets how many bytes must be free on the disk for a Commit, besides what it writes itself; badger needs them
// for merging. The default is 256 MiB.
func WithReserve(bytes uint64) Option { return func(o *options) { o.reserve = bytes } }

// WithGCInterval sets how often value logs are looked at of which half may be garbage. The default is 10 minutes.
func WithGCInterval(d time.Duration) Option { return func(o *options) { o.gcInterval = d } }

// WithLogger sets where errors and warnings of badger's own goroutines go. The default is nowhere.
func WithLogger(l *slog.Logger) Option { return func(o *options) { o.logger = l } }

// WithAcceptLoss opens a directory from which Commits are missing, and goes on without them. Take a copy of the
// directory first, and leave the option out when it has been opened once.
func WithAcceptLoss() Option { return func(o *options) { o.acceptLoss = true } }

// The sizes below bound memory: badger holds up to memTables tables of memTableSize, and reads others through mappings.
const (
	memTableSize = 32 << 20
	memTables    = 3
	// valueThreshold is the size from which a value is written once, to a value log, and not merged with the keys.
	valueThreshold   = 1 << 10
	valueLogFileSize = 256 << 20
)

func (o *options) badger(dir string) badger.Options {
	return badger.DefaultOptions(dir).
		WithSyncWrites(!o.noSync).
		WithMemTableSize(memTableSize).
		WithNumMemtables(memTables).
		WithNumCompactors(2).
		WithValueThreshold(valueThreshold).
		WithValueLogFileSize(valueLogFileSize).
		WithCompression(badgeroptions.None).
		WithBlockCacheSize(0). // blocks are read through mappings of the files
		WithVerifyValueChecksum(true).
		WithChecksumVerificationMode(badgeroptions.OnBlockRead).
		WithDetectConflicts(false). // writers take turns
		WithMetricsEnabled(false).
		WithLogger(logger{o.logger})
}

// logger takes what badger says.
type logger struct{ to *slog.Logger }

func (l logger) Errorf(format string, args ...any)   { l.say(slog.LevelError, format, args) }
func (l logger) Warningf(format string, args ...any) { l.say(slog.LevelWarn, format, args) }
func (logger) Infof(string, ...any)                  {}
func (logger) Debugf(string, ...any)                 {}
