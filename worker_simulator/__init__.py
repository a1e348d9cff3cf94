"""A fake WeCom and a fake Youdu server over real HTTP, with fault injection and a clock that can be moved.

`testing` is the test kit for applications, and `demo` is what `worker demo` runs. Both use the worker. The other
modules are the fake vendor: of the worker they import only `worker.crypto` and `worker.drawing`.
"""
