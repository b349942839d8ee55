package behaviour

import (
	stdcontext "context"
	"strings"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/packets"
)

// door is an authenticator that lets in who gives no User Name, or ann with her password. It refuses the topics below "no".
type door struct{}

const password = "correct horse"

// reason is what door says, at length.
var reason = strings.Repeat("because the door says so; ", 20)

func throughDoor() []shoal.Option { return []shoal.Option{shoal.WithAuthenticator(door{})} }

// refusals are the User Names that door refuses, and how.
var refusals = map[string]packets.ReasonCode{
	"bob": packets.BadUserNameOrPassword, "cat": packets.NotAuthorized, "dan": packets.ServerUnavailable, "eve": packets.Banned,
	"fay": packets.ServerBusy, "gus": packets.ClientIdentifierNotValid, "hal": packets.QuotaExceeded,
	// These a CONNACK has not; each becomes what comes nearest.
	"ian": packets.TopicFilterInvalid, "joe": packets.KeepAliveTimeout,
}

func (door) Authenticate(_ stdcontext.Context, c *shoal.Credentials) (*shoal.Principal, error) {
	if code, ok := refusals[c.UserName]; ok {
		return nil, &shoal.Error{ReasonCode: code, Reason: reason}
	}
	if c.UserName == "ann" && string(c.Password) != password {
		return nil, &shoal.Error{ReasonCode: packets.BadUserNameOrPassword, Reason: reason}
	}
	return &shoal.Principal{Name: c.UserName}, nil
}

func (door) Authorize(_ stdcontext.Context, r *shoal.AccessRequest) error {
	if strings.HasPrefix(r.Topic, "no") {
		return &shoal.Error{ReasonCode: packets.NotAuthorized, Reason: reason}
	}
	return nil
}
