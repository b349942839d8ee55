package packets_test

import (
	"testing"

	"github.com/shoalmq/shoal/packets"
)

func BenchmarkPublishDecode(b *testing.B) {
	benchmark(b, func(b *testing.B, p *packets.Publish, v packets.Version) {
		wire, err := p.Append(nil, v)
		if err != nil {
			b.Fatal(err)
		}
		var q packets.Publish
		for b.Loop() {
			h, err := packets.ParseFixedHeader(wire)
			if err != nil {
				b.Fatal(err)
			}
			if err := q.Decode(h, wire[h.Size:], v); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkPublishAppend(b *testing.B) {
	benchmark(b, func(b *testing.B, p *packets.Publish, v packets.Version) {
		var wire []byte
		for b.Loop() {
			var err error
			if wire, err = p.Append(wire[:0], v); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkPublishClone(b *testing.B) {
	benchmark(b, func(b *testing.B, p *packets.Publish, _ packets.Version) {
		for b.Loop() {
			_ = p.Clone()
		}
	})
}

func benchmark(b *testing.B, run func(*testing.B, *packets.Publish, packets.Version)) {
	all := messages()
	for _, c := range []struct {
		name, message string
		version       packets.Version
	}{
		{"V311", "QoS0", packets.V311},
		{"V5", "QoS1", packets.V5},
		{"V5Properties", "QoS1Properties", packets.V5},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(all[c.message].Size(c.version)))
			run(b, all[c.message], c.version)
		})
	}
}
