package decode

import (
	"slices"
	"strconv"
	"strings"
)

// A Context is what packets were encapsulated in. Equal addresses in different
// contexts are different hosts.
type Context struct {
	VLANs  []uint16 // VLAN identifiers, outermost first
	Tunnel string   // such as "vxlan:100", "ipip", "6in4"; nested ones joined by "/", outermost first
}

type layerKind uint8

const (
	inVLAN   layerKind = iota + 1
	inVXLAN            // value: VNI
	inIPv4             // IPv4 in IP of the version that value says
	inIPv6             // likewise IPv6
	inOthers           // there are too many contexts to tell this one from others
)

// A layer is one encapsulation inside the context parent.
type layer struct {
	parent uint32
	value  uint32
	kind   layerKind
}

// maxContexts bounds the table of contexts. It is a multiple of the VLANs of one
// trunk and of the networks of one VXLAN gateway; an attacker can make up more.
const maxContexts = 1 << 16

// contexts numbers contexts from 1, in the order of their appearance.
type contexts struct {
	layers []layer // of context i + 1
	ids    map[layer]uint32
	others uint32 // the context with inOthers, once there is one
	recent [2 * maxDepth]struct {
		layer layer
		id    uint32
	}
}

// enter sets the context of the packet to what lies in the given encapsulation.
func (d *Decoder) enter(kind layerKind, value uint32) {
	c := &d.contexts
	l := layer{parent: d.context, value: value, kind: kind}
	r := &c.recent[(d.tags+d.tunnels)%len(c.recent)]
	if r.layer != l {
		r.layer, r.id = l, c.intern(l)
	}
	d.context = r.id
}

func (c *contexts) intern(l layer) uint32 {
	if id, ok := c.ids[l]; ok {
		return id
	}
	if c.others != 0 {
		return c.others
	}
	if c.ids == nil {
		c.ids = map[layer]uint32{}
	}
	if len(c.layers) == maxContexts-1 {
		l = layer{kind: inOthers}
	}
	c.layers = append(c.layers, l)
	id := uint32(len(c.layers))
	c.ids[l] = id
	if l.kind == inOthers {
		c.others = id
	}
	return id
}

// Context returns what an id of Segment.Context or ICMPError.Context stands for.
// The zero id, and one that no packet had, stand for no encapsulation.
func (d *Decoder) Context(id uint32) Context {
	var vlans []uint16
	var tunnels []string
	for id != 0 && int(id) <= len(d.contexts.layers) {
		l := d.contexts.layers[id-1]
		switch l.kind {
		case inVLAN:
			vlans = append(vlans, uint16(l.value))
		case inVXLAN:
			tunnels = append(tunnels, "vxlan:"+strconv.Itoa(int(l.value)))
		case inIPv4:
			tunnels = append(tunnels, map[uint32]string{4: "ipip", 6: "4in6"}[l.value])
		case inIPv6:
			tunnels = append(tunnels, map[uint32]string{4: "6in4", 6: "6in6"}[l.value])
		case inOthers:
			tunnels = append(tunnels, "others")
		}
		id = l.parent
	}
	slices.Reverse(vlans)
	slices.Reverse(tunnels)
	return Context{VLANs: vlans, Tunnel: strings.Join(tunnels, "/")}
}
