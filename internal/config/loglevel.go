package config

import (
	"fmt"
	"log/slog"
	"strconv"
)

// LogLevel is the level of the log. A number is one of slog, as today's comqtt has it, or one of zerolog in files that have keys only older
// releases had, and with the flag -level.
func (l *Loaded) LogLevel() (slog.Level, error) {
	if !l.Log.Enable {
		return slog.LevelError + 100, nil
	}
	if l.Given("log.zerolog-level") && !l.Given("log.level") {
		return zeroLevel(l.Log.ZeroLevel), nil
	}
	if n, err := strconv.Atoi(l.Log.Level); err == nil {
		if l.Given("log.info-file") || l.Given("log.error-file") || l.Given("log.env") {
			return zeroLevel(n), nil
		}
		return slog.Level(n), nil
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(l.Log.Level)); err != nil {
		return 0, fmt.Errorf("%q is none of debug, info, warn, error, and no number", l.Log.Level)
	}
	return level, nil
}

func zeroLevel(n int) slog.Level {
	switch {
	case n <= 0:
		return slog.LevelDebug
	case n == 1:
		return slog.LevelInfo
	case n == 2:
		return slog.LevelWarn
	case n == 3:
		return slog.LevelError
	}
	return slog.LevelError + 100
}
