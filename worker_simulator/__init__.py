"""The vendors, faked over real HTTP, with faults at any byte and a clock that can be moved.

`testing` is the test kit that applications use, `demo` what `worker demo` runs; both stand on the worker. All the rest
is the fake vendor, which does not know it: only `worker.crypto` and `worker.drawing` are shared.
"""
