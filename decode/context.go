package decode

import (
	"slices"
	"strconv"
	"strings"
)

// A Context is what packets were encapsulated in. Equal addresses in different
// contexts are different hosts.
//
// It is the same for both directions of a connection. So it has of an
// encapsulation what the two share, and leaves out what each chooses for itself.
type Context struct {
	VLANs  []uint16 // VLAN identifiers, outermost first
	Tunnel string   // such as "vxlan:100", "ipip", "6in4"; nested ones joined by "/", outermost first
}

type layerKind uint8

// What a packet may lie in, and the value that tells one from another. The
// addresses of a tunnel's ends are none: paths of equal cost differ in them.
const (
	inVLAN       layerKind = iota + 1 // VLAN identifier
	inVXLAN                           // network identifier: one network has one, whoever sends
	inVXLANGPE                        // likewise
	inGeneve                          // likewise
	inNVGRE                           // likewise; not the flow identifier, made from either end's view
	inPBB                             // service identifier (IEEE 802.1ah), likewise
	inGRE                             // none
	inGREKey                          // key: RFC 2890 has it the same at both ends, and routers demand it
	inPPTP                            // none: each end chooses the call identifier that it is sent
	inERSPAN                          // session identifier: one mirror session sees both directions
	inERSPAN1                         // none
	inGTP                             // none: each end chooses the tunnel endpoint identifier that it is sent
	inTeredo                          // none: the inner addresses have all that there is
	inCAPWAP                          // none: radio and network change as a station roams
	inPseudowire                      // none: labels differ by direction. MPLS around IP is not told at all, for the last hop has no label
	inIPv4                            // IPv4 in IP of the version that value says
	inIPv6                            // likewise IPv6
	inOthers                          // there are too many contexts to tell this one from others
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
	recent [maxDepth + 1]struct {
		layer layer
		id    uint32
	}
}

// nested counts one more encapsulation, and reports whether that is not one too many.
func (d *Decoder) nested() bool {
	if d.depth == maxDepth {
		return false
	}
	d.depth++
	return true
}

// tunnelled enters a tunnel, and reports whether that is not one too many.
func (d *Decoder) tunnelled(kind layerKind, value uint32) bool {
	if !d.nested() {
		return false
	}
	d.enter(kind, value)
	return true
}

// enter sets the context of the packet to what lies in the given encapsulation,
// the one that was just counted.
func (d *Decoder) enter(kind layerKind, value uint32) {
	c := &d.contexts
	l := layer{parent: d.context, value: value, kind: kind}
	r := &c.recent[d.depth]
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
		if l.kind == inVLAN {
			vlans = append(vlans, uint16(l.value))
		} else {
			tunnels = append(tunnels, l.tunnel())
		}
		id = l.parent
	}
	slices.Reverse(vlans)
	slices.Reverse(tunnels)
	return Context{VLANs: vlans, Tunnel: strings.Join(tunnels, "/")}
}

// tunnel returns the name of a layer that is not a VLAN.
func (l layer) tunnel() string {
	numbered := func(name string) string { return name + ":" + strconv.FormatUint(uint64(l.value), 10) }
	switch l.kind {
	case inVXLAN:
		return numbered("vxlan")
	case inVXLANGPE:
		return numbered("vxlan-gpe")
	case inGeneve:
		return numbered("geneve")
	case inNVGRE:
		return numbered("nvgre")
	case inPBB:
		return numbered("pbb")
	case inGRE:
		return "gre"
	case inGREKey:
		return numbered("gre")
	case inPPTP:
		return "pptp"
	case inERSPAN:
		return numbered("erspan")
	case inERSPAN1:
		return "erspan"
	case inGTP:
		return "gtp"
	case inTeredo:
		return "teredo"
	case inCAPWAP:
		return "capwap"
	case inPseudowire:
		return "pw"
	case inIPv4:
		return map[uint32]string{4: "ipip", 6: "4in6"}[l.value]
	case inIPv6:
		return map[uint32]string{4: "6in4", 6: "6in6"}[l.value]
	}
	return "others"
}
