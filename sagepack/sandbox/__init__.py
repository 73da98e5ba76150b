"""A stand-in for a Hugging Face Hub and AWS on this machine, for work without account, token or internet.

Both run in one background process. The first command that needs it starts it, and it ends by itself when it is idle;
commands use `ensure`, `status`, `stop` and `remove`, and reach the servers by URL. Tests run the same servers in their
own process (`sagepack.sandbox.servers`). Everything listens on 127.0.0.1 only.

Importing this package must stay cheap: it imports neither the servers nor moto. From the bottom up, a module imports
only those before it:

    identity, admission, activity, faults    accounts, secrets, filters; what goes wrong; what is in use
    hub/          the Hugging Face Hub
    aws/          moto, and what it does not have of S3, SageMaker and ECR
    miniatures/   small models with the layout of real ones
    servers       Hub and AWS together
    process       the background process, seen from outside; it imports no server
    adding        puts a model of the user's own into its Hub
    __main__      the background process itself
"""

from sagepack.sandbox.process import Sandbox, ensure, folder, remove, status, stop, unanswerable

__all__ = ["Sandbox", "ensure", "folder", "remove", "status", "stop", "unanswerable"]
