package shoal_test

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/packets"
)

// users lets in whom it knows, and everybody publish below their own name.
type users map[string]string

func (u users) Authenticate(_ context.Context, c *shoal.Credentials) (*shoal.Principal, error) {
	if password, ok := u[c.UserName]; !ok || password != string(c.Password) {
		return nil, &shoal.Error{ReasonCode: packets.BadUserNameOrPassword, Reason: "unknown user or wrong password"}
	}
	return &shoal.Principal{Name: c.UserName}, nil
}

func (u users) Authorize(_ context.Context, r *shoal.AccessRequest) error {
	if r.Action == shoal.ActionPublish && !strings.HasPrefix(r.Topic, r.Principal.Name+"/") {
		return errors.New("not your topic")
	}
	return nil
}

// say sends packets to the broker over a connection in memory and returns the answers.
func say(b *shoal.Broker, send ...packets.Packet) (answers []packets.Packet) {
	conn, err := b.Dial(context.Background())
	if err != nil {
		panic(err)
	}
	defer func() { _ = conn.Close() }()
	for _, p := range send {
		out, err := packets.Append(nil, p, packets.V5)
		if err != nil {
			panic(err)
		}
		if _, err := conn.Write(out); err != nil {
			panic(err)
		}
		answer, err := packets.Read(conn, packets.V5, 1<<20)
		if err != nil {
			panic(err)
		}
		answers = append(answers, answer)
	}
	return answers
}

func started(opts ...shoal.Option) (b *shoal.Broker, stop func()) {
	b, err := shoal.New(opts...)
	if err == nil {
		err = b.Start(context.Background())
	}
	if err != nil {
		panic(err)
	}
	return b, func() { _ = b.Shutdown(context.Background()) }
}

func ExampleAuthenticator() {
	b, stop := started(shoal.WithAuthenticator(users{"ann": "secret"}))
	defer stop()
	login := &packets.Connect{ProtocolVersion: packets.V5, CleanStart: true, UserName: packets.Some("ann"), Password: []byte("secret")}
	answers := say(b, login,
		&packets.Publish{TopicName: "ann/door", QoS: 1, PacketID: 1},
		&packets.Publish{TopicName: "bob/door", QoS: 1, PacketID: 2})
	fmt.Println(answers[0].(*packets.ConnAck).ReasonCode)
	fmt.Println(answers[1].(*packets.PubAck).ReasonCode)
	fmt.Println(answers[2].(*packets.PubAck).ReasonCode)
	login.Password = []byte("guess")
	fmt.Println(say(b, login)[0].(*packets.ConnAck).ReasonCode)
	// Output:
	// Success
	// No matching subscribers
	// Not authorized
	// Bad User Name or Password
}

// stamp is an interceptor: it adds to every message who sent it.
type stamp struct{}

func (stamp) InterceptPublish(_ context.Context, e *shoal.PublishEvent) error {
	e.Message.Properties.UserProperties = append(e.Message.Properties.UserProperties,
		packets.UserProperty{Key: "from", Value: e.Client.ClientID})
	return nil
}

func ExamplePublishInterceptor() {
	b, stop := started(shoal.WithAnonymous(), shoal.WithHook(stamp{}))
	defer stop()
	sub, err := b.Subscribe(context.Background(), []string{"#"}, shoal.SubscribeOptions{})
	if err != nil {
		panic(err)
	}
	say(b, &packets.Connect{ProtocolVersion: packets.V5, CleanStart: true, ClientID: "meter"},
		&packets.Publish{TopicName: "power", QoS: 1, PacketID: 1, Payload: []byte("42")})
	m, err := sub.Next(context.Background())
	fmt.Println(m.TopicName, string(m.Payload), m.Properties.UserProperties, err)
	// Output: power 42 [{from meter}] <nil>
}
