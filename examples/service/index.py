"""The function of all examples: it says where an address leads, without asking anybody."""

import idna


def handler(event, context):
    """Spell an international domain as DNS has it."""
    return {"domain": idna.encode(event.get("domain", "bücher.example")).decode()}
