package shoal

import (
	"context"
	"net/netip"
	"time"

	"github.com/shoalmq/shoal/internal/codec"
)

// What is stored and agreed on of bans.

const spaceBans = "bans"

func appendBan(b []byte, ban *Ban) []byte {
	key := ban.key()
	b = append(b, key.kind)
	if key.kind == banForRange {
		b = codec.AppendString(b, key.addr.String())
	} else {
		b = codec.AppendString(b, key.name)
	}
	until := uint64(0)
	if !ban.Until.IsZero() {
		until = uint64(ban.Until.UnixNano())
	}
	return codec.AppendString(codec.AppendUint(b, until), ban.Reason)
}

func readBan(r *codec.Reader) (ban Ban) {
	switch kind, name := r.Byte(), r.String(); kind {
	case banForClient:
		ban.ClientID = name
	case banForUser:
		ban.Principal = name
	case banForRange:
		p, err := netip.ParsePrefix(name)
		if err != nil {
			r.Fail()
		}
		ban.Address = p
	default:
		r.Fail()
	}
	if until := r.Uint(); until != 0 {
		ban.Until = time.Unix(0, int64(until))
	}
	ban.Reason = r.String()
	return ban
}

// op is the change of the store that a ban is.
func (ban *Ban) op(lift bool) Op {
	key := ban.key()
	op := Op{Space: spaceBans, Key: append([]byte{key.kind}, key.name...)}
	if key.kind == banForRange {
		op.Key = append([]byte{key.kind}, key.addr.String()...)
	}
	if !lift {
		op.Value = appendBan(newRecord(), ban)
	}
	return op
}

// stored returns what the store is to have of the ban with a key of op's, nil if there is none.
func (l *bans) stored(storeKey string) []byte {
	key := banKey{kind: storeKey[0], name: storeKey[1:]}
	if key.kind == banForRange {
		p, err := netip.ParsePrefix(key.name)
		if err != nil {
			return nil
		}
		key = banKey{kind: banForRange, addr: p}
	}
	l.mu.RLock()
	ban, found := l.all[key]
	l.mu.RUnlock()
	if !found {
		return nil
	}
	return appendBan(newRecord(), &ban)
}

func (b *Broker) restoreBans(ctx context.Context) error {
	now := time.Now()
	return b.cfg.storage.Scan(ctx, spaceBans, nil, func(_, value []byte) error {
		r, err := openRecord(value)
		if err != nil {
			return err
		}
		ban := readBan(r)
		if r.Err() != nil {
			return r.Err()
		}
		_, _, err = b.bans.change(ban, false, now)
		return err
	})
}

func banCommand(ban Ban, lift bool, now time.Time) []byte {
	cmd := codec.AppendUint(codec.AppendBool(command(cmdBan), lift), uint64(now.UnixNano()))
	return appendBan(cmd, &ban)
}

// ban applies the command.
func (a *agreed) ban(r *codec.Reader) any {
	lift, now, ban := r.Bool(), r.Uint(), readBan(r)
	if r.Err() != nil {
		return r.Err()
	}
	found, err := a.n.b.applyBan(ban, lift, time.Unix(0, int64(now)))
	if err != nil {
		return err
	}
	return found
}
