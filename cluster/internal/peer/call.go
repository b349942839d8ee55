package peer

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster/internal/peer/peerpb"
)

// HandlerError is what the other node's handler returned.
type HandlerError struct {
	Node, Reason string
}

// Error implements error.
func (e *HandlerError) Error() string { return fmt.Sprintf("node %s: %s", e.Node, e.Reason) }

// Call sends a request to the broker of a node that is up and waits for the answer. It waits for a connection, too;
// ctx bounds it, and so does the node's NodeDown, with ErrNodeLost. What the handler there returned as an error is a
// *HandlerError.
func (m *Mesh) Call(ctx context.Context, node string, request []byte) ([]byte, error) {
	r := m.remote(node)
	if r == nil {
		return nil, shoal.ErrClosed
	}
	client, err := r.dataClient()
	if err != nil {
		return nil, err
	}
	up := r.upContext()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(up, func() { cancel(context.Cause(up)) })()
	return m.call(ctx, client, node, false, request, grpc.WaitForReady(true))
}

// Control sends a request to the cluster part of a node, up or not. It fails at once while there is no connection.
func (m *Mesh) Control(ctx context.Context, node string, request []byte) ([]byte, error) {
	r := m.remote(node)
	if r == nil {
		return nil, shoal.ErrClosed
	}
	client, err := r.controlClient()
	if err != nil {
		return nil, err
	}
	return m.call(ctx, client, node, true, request)
}

func (m *Mesh) call(ctx context.Context, client peerpb.PeerClient, node string, control bool, body []byte, opts ...grpc.CallOption) ([]byte, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, fmt.Errorf("calling node %s: %w", node, err)
	}
	resp, err := client.Call(ctx, &peerpb.CallRequest{
		Version: uint32(m.callLevel()), From: m.cfg.Self, To: node, Control: control, Body: body,
	}, opts...)
	switch cause := context.Cause(ctx); {
	case err != nil && cause != nil:
		return nil, fmt.Errorf("calling node %s: %w", node, cause)
	case status.Code(err) == codes.DeadlineExceeded: // the other node saw it a moment before this one
		return nil, fmt.Errorf("calling node %s: %w", node, context.DeadlineExceeded)
	case err != nil && m.ctx.Err() != nil:
		return nil, fmt.Errorf("calling node %s: %w", node, shoal.ErrClosed)
	case err != nil:
		return nil, fmt.Errorf("calling node %s: %w", node, err)
	case resp.Error != "":
		return nil, &HandlerError{Node: node, Reason: resp.Error}
	}
	return resp.Body, nil
}

// callLevel is that of the cluster, as far as this node speaks it: one that does not has its own to say so in.
func (m *Mesh) callLevel() int {
	return min(max(m.cfg.Level(), m.cfg.Levels.Oldest), m.cfg.Levels.Newest)
}

// Call implements the service; it is not Mesh.Call.
func (v service) Call(ctx context.Context, req *peerpb.CallRequest) (*peerpb.CallResponse, error) {
	m := v.Mesh
	switch {
	case !req.Control && !m.cfg.Levels.Speaks(int(req.Version)): // those of the cluster itself have a version of their own
		return nil, status.Errorf(codes.FailedPrecondition, "this node speaks levels %s of the call protocol, not %d", m.cfg.Levels, req.Version)
	case req.To != m.cfg.Self:
		return nil, status.Errorf(codes.FailedPrecondition, "this is node %q, not %q", m.cfg.Self, req.To)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(m.ctx, cancel)()
	handle := m.cfg.Handler.Serve
	if req.Control {
		handle = m.cfg.Handler.Control
	}
	body, err := handle(ctx, req.From, req.Body)
	if cause := ctx.Err(); err != nil && errors.Is(cause, context.DeadlineExceeded) { // the caller's, which came along
		return nil, status.FromContextError(cause).Err()
	}
	if err != nil {
		text := err.Error()
		if text == "" {
			text = "the handler gave no reason"
		}
		return &peerpb.CallResponse{Error: text}, nil
	}
	return &peerpb.CallResponse{Body: body}, nil
}

// service is the gRPC face of a Mesh, whose own methods of the same names mean the other direction.
type service struct {
	peerpb.UnimplementedPeerServer
	*Mesh
}
