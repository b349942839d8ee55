package scram

// Client is the client's side, for the example.
type Client struct{ c client }

func NewClient(user, password string) *Client {
	return &Client{client{user: user, password: password}}
}

func (c *Client) First() []byte                   { return c.c.first() }
func (c *Client) Final(serverFirst []byte) []byte { return c.c.final(serverFirst) }
func (c *Client) Satisfied(final []byte) bool     { return c.c.satisfied(final) }
