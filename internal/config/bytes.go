package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// MemoryAuto is the value of limits.memory that leaves it to the program.
const MemoryAuto = "auto"

// MemoryBytes is limits.memory in bytes; 0 if it is auto, or nothing.
func (l *Loaded) MemoryBytes() int64 {
	n, _ := parseBytes(l.Limits.Memory) // it was checked
	return n
}

// parseBytes reads a number of bytes, as GOMEMLIMIT has it: with KiB, MiB, GiB, TiB or B behind, or nothing.
func parseBytes(text string) (int64, error) {
	number, unit := strings.TrimSuffix(strings.TrimSpace(text), "B"), int64(1)
	for i, suffix := range []string{"Ki", "Mi", "Gi", "Ti"} {
		if rest, ok := strings.CutSuffix(number, suffix); ok && strings.HasSuffix(text, "B") {
			number, unit = rest, 1<<(10*(i+1))
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/unit {
		return 0, fmt.Errorf("%q is no number of bytes such as 512MiB, and not %s", text, MemoryAuto)
	}
	return n * unit, nil
}
