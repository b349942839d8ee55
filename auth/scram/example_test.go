package scram_test

import (
	"context"
	"fmt"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/auth/scram"
	"github.com/shoalmq/shoal/packets"
)

func Example() {
	ctx := context.Background()
	keys, err := scram.NewKeys("pencil", 0) // once, when the user chooses the password
	if err != nil {
		panic(err)
	}
	a, err := scram.New(scram.Config{Users: scram.Map{"ann": keys}})
	if err != nil {
		panic(err)
	}
	b, err := shoal.New(shoal.WithAuthenticator(a))
	if err != nil {
		panic(err)
	}
	if err := b.Start(ctx); err != nil {
		panic(err)
	}
	defer func() { _ = b.Shutdown(ctx) }()

	// What a client does; scram.NewClient is part of the tests.
	conn, err := b.Dial(ctx)
	if err != nil {
		panic(err)
	}
	say := func(p packets.Packet) packets.Packet {
		out, err := packets.Append(nil, p, packets.V5)
		if err != nil {
			panic(err)
		}
		if _, err := conn.Write(out); err != nil {
			panic(err)
		}
		answer, err := packets.Read(conn, packets.V5, 0)
		if err != nil {
			panic(err)
		}
		return answer
	}
	ann := scram.NewClient("ann", "pencil")
	with := func(data []byte) packets.Properties {
		return packets.Properties{AuthenticationMethod: packets.Some(scram.Method), AuthenticationData: data}
	}
	challenge := say(&packets.Connect{ClientID: "meter", CleanStart: true, Properties: with(ann.First())}).(*packets.Auth)
	ack := say(&packets.Auth{
		ReasonCode: packets.ContinueAuthentication, Properties: with(ann.Final(challenge.Properties.AuthenticationData)),
	}).(*packets.ConnAck)
	fmt.Println(challenge.ReasonCode)
	fmt.Println(ack.ReasonCode)
	fmt.Println("the server knows ann:", ann.Satisfied(ack.Properties.AuthenticationData))
	// Output:
	// Continue authentication
	// Success
	// the server knows ann: true
}
