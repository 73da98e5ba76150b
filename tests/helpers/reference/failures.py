"""The page of failures: what the program recognises, by id, and what nobody can."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sagepack.deploy.known_failures import OF_AWS, OF_CONTAINERS
from tests.helpers.reference.markdown import code, page, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.deploy.known_failures import KnownFailure

_INTRODUCTION = """\
# Failures

*Made from the program: `sagepack/deploy/known_failures.py`, and `tests/helpers/reference/failures.py` for what is a check or a rule.*

Every failure of a deployment or of a request that the program recognises: how it looks, why, what finds it, and what to do. `--json` gives the id as `error.id`, `doctor --json` as the `id` of a check.
[Troubleshooting](troubleshooting.md) has the messages of all commands, also of those that have nothing to do with AWS."""

_HEAD = ("id", "symptom", "cause", "what to do")


class Entry(NamedTuple):
    """A row: the id of a failure or check, or the message of the program, why, and what to do."""

    name: str
    symptom: str
    cause: str
    fix: str


OF_CALLS = (
    Entry("credentials-missing", "no AWS credentials while …", "no environment variable, profile, login or role of the machine", "log in, or set AWS_PROFILE or aws.profile"),
    Entry("credentials-expired", "ExpiredToken: The security token included in the request is expired", "a session lasts some hours", "log in again; a command that changes something waits half an hour for it"),
    Entry("credentials-refused", "UnrecognizedClientException: The security token included in the request is invalid", "a deleted key, a typing error, or a region that the account has not enabled", "check key, profile and aws.region"),
    Entry("clock", "InvalidSignatureException: Signature expired: … is now earlier than …; RequestTimeTooSkewed", "the clock of this machine is minutes off", "set it"),
    Entry("permission-missing", "AccessDeniedException: User: … is not authorized to perform: sagemaker:CreateModel", "no policy allows the caller the action, which the error names", "`sagepack policy --for deploy` (publish, predict, plan) prints the policy that does"),
    Entry("permission-denied-by-policy", "… with an explicit deny in a service control policy", "a policy of the organisation, a boundary, or of the resource", "ask who wrote it for an exception"),
    Entry("quota", "ResourceLimitExceeded, ServiceQuotaExceededException", "a quota that is not about instances, such as the number of endpoints", "Service Quotas"),
    Entry("region-not-enabled", "OptInRequired, PermanentRedirect", "the account has not enabled the region, or aws.region is another one than the bucket's", "enable it, or correct aws.region"),
    Entry("request-refused", "ValidationException", "AWS refuses a value; the error names the key of the spec that it comes from, where there is one", "correct that key"),
    Entry("kms-key", "KMS.DisabledException, KMS.NotFoundException", "the key is disabled, deleted, or in another region", "enable it, or name another in artifact.kms_key_id"),
    Entry("network", "Could not connect to the endpoint URL …; Connection was closed before we received a valid response", "no network, no name resolution, a firewall, or a region that does not exist", "nothing for half an hour, in a command that changes something; else check the network and aws.region"),
    Entry("certificate-not-trusted", "SSL validation failed", "a proxy of the company signs with a certificate of its own, or a hotel's network wants a login", "AWS_CA_BUNDLE names the certificates; or log in to the network"),
    Entry("service-unavailable", "InternalFailure, ServiceUnavailable, SlowDown, ThrottlingException", "AWS cannot respond now, or gets too many requests", "nothing for half an hour, in a command that changes something; else the same command later"),
)  # fmt: skip

CHECKS = (
    Entry("aws-account", "the credentials are of account …, but aws.account is …", "another profile or variable is set than the spec means", "the message says where the credentials come from"),
    Entry("endpoint-owner", "endpoint … belongs to another spec or environment: it has …", "two specs have the same endpoint.name", "another endpoint.name, or the right --config and --env"),
    Entry("bucket", "bucket … is in …, the endpoint in …: SageMaker reads only there", "another region, another account's bucket, or none", "correct artifact.target or aws.region"),
    Entry("role", "… does not let … assume it", "the role does not exist, or its trust policy does not name SageMaker", "`sagepack policy --for trust` prints it"),
    Entry("role-permissions", "the policies of … do not allow …", "the role cannot read the package, pull the image or write answers: the last shows nowhere, the answer just never comes", "`sagepack policy --for execution` prints what it needs"),
    Entry("image", "correct image.tag", "the registry has no such tag, or not the locked digest any more", "correct image.tag, or `sagepack lock --update`"),
    Entry("success-topic", "there is no topic …", "endpoint.async.success_topic names none", "create it, or correct the name of the topic"),
    Entry("error-topic", "there is no topic …", "endpoint.async.error_topic names none", "create it, or correct the name of the topic"),
    Entry("alarm-topic", "there is no topic …", "endpoint.alarms.topics names none", "create it, or correct the name of the topic"),
    Entry("rollback-alarms", "… is in ALARM now, and would roll an update back whatever it brings", "an alarm of endpoint.update.rollback_alarms is on, or does not exist", "end its cause; or `--set endpoint.update.rollback_alarms=[]` for the update that mends it"),
    Entry("volume-key", "there is no key … in the endpoint's region", "endpoint.kms_key_id names no key, or one that cannot encrypt", "create the key, enable it, or name another"),
    Entry("results-key", "there is no key … in the endpoint's region", "endpoint.async.kms_key_id names no key, or one that cannot encrypt", "create the key, enable it, or name another"),
    Entry("vpc", "… has no endpoint for S3: unless its subnets have another way there, instances cannot read the package", "subnets or groups do not exist, are of several VPCs, or have no way to S3", "correct endpoint.vpc, or make a gateway endpoint for S3"),
    Entry("quota", "the quota '…' is …; …", "new accounts have a quota of 0 for most GPU instances; a first deployment that cannot start with it is stopped, for a later one it is a note", "Service Quotas; it takes hours to days"),
    Entry("remote-role", "… does not let … assume it", "remote.role does not exist, or its trust policy does not name SageMaker", "`sagepack policy --for trust` prints it"),
    Entry("remote-role-permissions", "the policies of … do not allow …", "the role of jobs (`--remote`) cannot publish, read the secret with the token, or write its log", "`sagepack policy --for remote-execution` prints what it needs"),
    Entry("remote-quota", "the quota '…' is …, and a job takes one", "new accounts have a quota of 0 for many instances of processing jobs", "Service Quotas, or another remote.instance_type"),
    Entry("lifecycle-rule", "bucket … keeps the parts of unfinished uploads, which cost as much as objects, until somebody aborts them", "no lifecycle rule of the bucket aborts them", "add one with AbortIncompleteMultipartUpload"),
    Entry("stale-uploads", "… unfinished uploads are older than … h, and cost money", "an upload was interrupted and never continued", "`sagepack gc` aborts them"),
    Entry("hub", "the model is gated, and there is no token", "the licence has to be accepted by each user", "accept it on the model's page, and set HF_TOKEN"),
    Entry("lock", "… is out of date", "the spec changed after the lock was made", "`sagepack lock`"),
    Entry("scan", "would call … when loaded", "a file of the model holds what `trust` does not allow; `lock`, and every build, refuses it", "[what to do about a finding](how-to/scan.md#what-to-do-about-a-finding)"),
    Entry("scan", "not judged yet: the lock was made without", "the lock is of an earlier version, or trust.scan was off", "`sagepack scan`, then `sagepack lock --update`"),
    Entry("model-size", "; the GPUs of … have …", "the model's files have more bytes than the GPUs of the instance type; each request may end as `gpu-memory`", "an instance type with more GPU memory, or half precision"),
    Entry("model-size", "; endpoint.volume_size_in_gb is …", "the volume is too small for the model, or for the archive and what comes out of it: `archive-not-extracted`", "a larger volume, or artifact.layout: prefix"),
    Entry("price", "the price is not known: …", "no permission pricing:GetProducts, no way to us-east-1, or a type that AWS does not sell in the region", "nothing: it stops nothing; otherwise it says what an hour of the declared instances costs"),
    Entry("disk", "… needs …, … are free", "the model does not fit the disk of the cache", "HF_HUB_CACHE on a larger disk, or --stream"),
    Entry("python", "… is not tested", "this Python is older or newer than those that the tests run on", "the message names them"),
)  # fmt: skip

RULES = (
    Entry("`HF_MODEL_ID` in `environment`", "with HF_MODEL_ID the container ignores the packaged weights and downloads the model from the Hub at every start", "other weights serve than those that were checked, without a word", "remove it"),
    Entry("`TS_*` in `environment`", "it has no effect: TS_* variables configure TorchServe, which this image does not use", "the limits of the server stay at 6,553,500 bytes", "MMS_*"),
    Entry("`MMS_MAX_RESPONSE_SIZE`", "bytes is below the server's own default of", "answers above it end the worker", "more bytes than an answer has"),
    Entry("image and instance", "the GPUs of … need CUDA 12.8 or newer; this image has …", "the container does not start, and writes no log", "a newer image, or another instance type"),
    Entry("driver and image", "CUDA …, but hosts of the family … have driver … by default: …", "the endpoint is Creating for half an hour, then `container-not-started`", "endpoint.inference_ami_version as the message says"),
    Entry("driver and image", "CUDA … needs driver … or newer; this machine image has …: …", "the endpoint is Creating for half an hour, then `container-not-started`", "the machine image that the message names"),
    Entry("driver and GPU", "the GPUs of the family … need driver … or newer; this machine image has …", "no container finds a GPU", "the machine image that the message names, or none"),
    Entry("image and instance", "this CPU image would leave the GPU of … unused", "a GPU is paid for and not used", "the -gpu- tag"),
    Entry("isolation and requirements", "an isolated container cannot install requirements from a package index, and then does not start", "there is no way to a package index", "code.vendor: true packs them; or remove the isolation"),
    Entry("requirements", "the image … …, which meets this", "pip looks at it at each start, for nothing", "remove it"),
    Entry("requirements", "the image …depends on its own version", "another torch is built for another CUDA version, another server is another server", "another image"),
    Entry("requirements", "… of the image installs the module …, too, and one overwrites the other", "files of both lie in one folder, and which are read depends on the order", "the package of the image"),
    Entry("keys", "the key is in …, but aws.region is …: keys are of one region", "SageMaker does not find the key", "a key of that region"),
    Entry("volume key", "instances of the family … have local disks, which their hardware encrypts, and not this key", "the model lies where the key has no effect", "remove it, unless a policy demands one"),
    Entry("topics", "the topic is in …, the endpoint in …", "SageMaker publishes in its own region only", "a topic in that region"),
    Entry("topics", "a FIFO topic; SageMaker is documented to publish to standard topics only", "notifications never come", "a standard topic"),
    Entry("code folder", "makes code/ a package that shadows the module code of Python's standard library, which pdb imports", "the handler is not found, or a library fails in a strange way", "remove the file"),
    Entry("scaling", "… is more than scaling.max_capacity, …", "automatic scaling would end instances as soon as it is set up", "correct one of both"),
)  # fmt: skip

MESSAGES = (
    Entry("silent roll-back", "the update failed and SageMaker rolled back to …, which serves: …", "the new fleet did not start; the endpoint is InService with the old configuration", "the reason is in the message, and what to do about it below"),
    Entry("alarm rolls back", "alarm … is …: …", "an alarm of endpoint.update.rollback_alarms went off while the new instances took requests; the line is below the roll-back", "correct what failed, and deploy again once the alarm has ended"),
    Entry("another deployer", "another deployment won: the endpoint serves …, not …", "somebody deployed at the same time", "agree on one place that deploys"),
    Entry("another deployer, later", "another deployment came between … and its smoke test: the endpoint …", "somebody deployed while the sample was being answered", "nothing was put back; agree on one place that deploys"),
    Entry("busy endpoint", "… is being changed by something else (automatic scaling, another deployment, or a request whose answer was lost)", "`Cannot update in-progress endpoint`, `Cannot create already existing endpoint`", "nothing: it is looked at again, and settled"),
    Entry("busy scaling", "… is not ready for a change of its scaling yet", "ObjectNotFoundException, ConcurrentUpdateException, `Unable to assume IAM role` just after a change", "nothing: it is repeated"),
    Entry("deleted configuration", "SageMaker does not update an endpoint whose configuration was deleted: …", "`Could not find endpoint configuration` of the one that the endpoint has", "deploy once more what it serves, or `destroy` and deploy"),
    Entry("another image", "the endpoint serves, but runs another image than the locked one: …, not …", "somebody made the model of the endpoint again, under the same name", "the same command replaces it; find out who did it"),
    Entry("deleted parts", "is missing", "the model or configuration that serves was deleted: it runs until an instance has to start", "`sagepack deploy` creates it again, without an update"),
    Entry("failed smoke test", "… failed its smoke test: …", "the container failed on the sample, or its answer is not what sample.expect says; the lines below have its words, its log and the id of the known failure", "mend it and deploy again; the release before was put back and serves"),
    Entry("untried release", "… serves …, which has not been tried and recorded yet", "the command that deployed it was interrupted before its smoke test ended", "`sagepack deploy` goes on to try it"),
    Entry("endpoint that has failed", "… has to be deleted and created again", "SageMaker allows nothing else with an endpoint that is Failed; if it was released, its queue goes with it", "look at `sagepack status` and `sagepack logs`, then `sagepack deploy --yes`"),
    Entry("stuck endpoint", "the endpoint is still … after …", "a container that crashes again and again keeps it Creating for up to an hour, in which it cannot be deleted", "the container's lines are on the screen; the same command goes on waiting"),
    Entry("too few instances", "the endpoint has … instances, not …", "AWS has no free instance", "the same command later"),
    Entry("no answer", "no result after … s", "the endpoint wakes, is busy, or its role may not write the answer (`role-permissions`)", "the same command goes on waiting; `sagepack status` shows queue and scaling"),
)  # fmt: skip

_UNKNOWN = """\
## What nobody can recognise beforehand

- **That AWS has a free instance.** No API says so. `no-capacity` comes minutes after the request, and a wake from zero that finds none shows only in the newest scaling activity (`sagepack status`).
- **What other endpoints use of a quota.** Service Quotas says what is allowed, not what is used: `quota` compares with this endpoint alone.
- **That the container serves.** InService says that a port answered. Only a request proves it: the smoke test of `deploy` sends two, and where there is no sample nobody does.
- **A wrong answer.** A handler that returns noise with status 200 looks well; the smoke test knows only what `sample.expect` says.
- **An organisation's policy on the role.** The simulation of a role's permissions does not know the policies of buckets, keys and the organisation.
- **Whether the endpoint's role may publish to a topic, and what an endpoint policy of a VPC refuses.** Both show when it happens.
- **A request lost with its queue.** AWS does not say which requests were waiting when an endpoint was deleted, or expired after six hours.
- **An answer that the container gave and S3 refused.** The metric ResponseUploadFailures counts them, without the request."""


def failures_page() -> str:
    """The text of `docs/failures.md`."""
    return page(
        _INTRODUCTION,
        "## What AWS says about an endpoint",
        "Found in the reason of a failed deployment or in the refusal of a request; the class of the error, and so the exit code, says whether you can mend it (1) or have to wait (3).",
        _table(_known(OF_AWS)),
        "## What the container says",
        "Found in the failure of a request, of the smoke test's too, in the words of the image's server.",
        _table(_known(OF_CONTAINERS)),
        "## What a call to AWS meets",
        _table(OF_CALLS),
        "## Checks before the first byte moves",
        "Of `sagepack doctor`; `upload` and `deploy` make those without which they would fail.",
        _table(CHECKS),
        "## What `validate` refuses or warns of",
        table(
            ("about", "message", "would else be", "what to do"), (_row(entry, code(entry.symptom)) for entry in RULES)
        ),
        "## What a deployment notices itself",
        table(("what", "message", "cause", "what to do"), (_row(entry, code(entry.symptom)) for entry in MESSAGES)),
        _UNKNOWN,
    )


def _known(failures: tuple[KnownFailure, ...]) -> Iterator[Entry]:
    for failure in failures:
        yield Entry(failure.id, failure.symptom, failure.cause, failure.fix.replace("{", "<").replace("}", ">"))


def _table(entries: Iterator[Entry] | tuple[Entry, ...]) -> str:
    return table(_HEAD, (_row(entry, code(entry.symptom))._replace(name=code(entry.name)) for entry in entries))


def _row(entry: Entry, symptom: str) -> Entry:
    return entry._replace(symptom=symptom, fix=entry.fix.replace("<", "&lt;"))
