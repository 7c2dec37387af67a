"""Everything for one lane: state, losses, update, acting, resets, assembly."""
