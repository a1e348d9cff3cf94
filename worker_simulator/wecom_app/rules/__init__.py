"""What the body of a message must hold: kinds of rules, and tables of them for every message type.

Does not know envelopes, recipients and who exists. A rule looks at one place of a body, raises the vendor's code,
changes in place what the vendor changes in silence, and notes what others have to look at.
"""
