"""The sandbox: a Hugging Face Hub and an AWS on this machine, for work without account, token or internet.

Both run in one background process that the first command starts and that ends by itself when it is idle; `ensure`,
`status` and `stop` are all that the commands need. Tests run the same servers in process (`sagepack.sandbox.servers`).
Nothing here listens on or talks to anything but 127.0.0.1.
"""

from sagepack.sandbox.process import Sandbox, ensure, remove, status, stop

__all__ = ["Sandbox", "ensure", "remove", "status", "stop"]
