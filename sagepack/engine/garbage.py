"""What nobody needs any more of what was published and deployed, and why the rest is kept. `judge` is pure.

A package is kept if an endpoint of the account and region, a model of anybody, one of the newest deployments of any
environment under the target, or an upload in progress needs it, or if it is young. Where AWS denies to say what is there,
nothing is garbage that it could concern.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sagepack.aws import sagemaker
from sagepack.aws.s3 import S3Uri
from sagepack.aws.session import AccessDeniedError
from sagepack.deploy import exchanged, hosted, record
from sagepack.deploy.deployment import Owner
from sagepack.deploy.hosted import Hosted, Model
from sagepack.publish import stored
from sagepack.publish.keys import remote_uri
from sagepack.workers import worker_pool

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from sagepack.aws.s3 import MultipartHandle, ObjectSummary
    from sagepack.aws.session import Aws
    from sagepack.deploy.record import DeploymentRecord
    from sagepack.engine.context import BuildContext
    from sagepack.publish.stored import StoredFolder


@dataclass(frozen=True)
class Rules:
    """What is kept although nothing uses it.

    Attributes:
        keep: of each environment, so many of the newest deployments.
        before: what was written or created later is kept: somebody may be publishing or deploying it.
        answers_before: requests, answers and failures that were written later are kept.
    """

    keep: int
    before: datetime
    answers_before: datetime


@dataclass(frozen=True)
class OwnConfig:
    """An endpoint configuration of the spec and environment.

    Attributes:
        created: when it was created.
        models: the models that it names.
    """

    created: datetime
    models: frozenset[str]


@dataclass(frozen=True)
class Facts:
    """What was seen.

    Attributes:
        folders: the packages of the name under the target.
        records: environment -> its newest deployments, newest first, None for one that cannot be read.
        served: what the endpoints of the account use.
        models: all models of the account.
        own_models: names of those that belong to the spec and environment.
        own_configs: the endpoint configurations of the spec and environment by name.
        exchanged: requests, answers and failures of the endpoint.
        job_inputs: what jobs in the region start from.
        parts: bytes of the parts of each old upload.
        unknown: what AWS denied to say, or what cannot be read, one sentence each.
    """

    folders: tuple[StoredFolder, ...] = ()
    records: dict[str, list[tuple[S3Uri, DeploymentRecord | None]]] = field(default_factory=dict)
    served: Hosted = field(default_factory=Hosted)
    models: tuple[Model, ...] = ()
    own_models: frozenset[str] = frozenset()
    own_configs: dict[str, OwnConfig] = field(default_factory=dict)
    exchanged: tuple[ObjectSummary, ...] = ()
    job_inputs: tuple[ObjectSummary, ...] = ()
    parts: dict[MultipartHandle, int] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True)
class Garbage:
    """What can be removed.

    Attributes:
        packages: packages, whole or not.
        configs, models: names of endpoint configurations and models of the spec and environment.
        uploads: unfinished uploads, with the bytes of their parts.
        exchanged: requests, answers and failures.
        notes: what the uploads of packages that are published whole have left.
        job_inputs: what jobs in the region that were killed have left. One that runs has read it when it began.
        kept: path of a package that is kept -> why.
        unknown: why packages, models and configurations are kept without a look at what needs them; empty if all was seen.
    """

    packages: tuple[StoredFolder, ...] = ()
    configs: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    uploads: tuple[tuple[MultipartHandle, int], ...] = ()
    exchanged: tuple[ObjectSummary, ...] = ()
    notes: tuple[ObjectSummary, ...] = ()
    job_inputs: tuple[ObjectSummary, ...] = ()
    kept: dict[str, str] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is any."""
        objects = (self.exchanged, self.notes, self.job_inputs)
        return bool(self.packages or self.configs or self.models or self.uploads or any(objects))


def observe(context: BuildContext, rules: Rules) -> Facts:
    """Look at the packages of a spec, at who may need them, and at old requests. Changes nothing.

    Raises:
        UserError: S3 denies to list the packages.
        RemoteError: AWS failed after retries.
    """
    spec, aws, s3 = context.spec, context.clients.aws, context.clients.s3
    target, owner = S3Uri.parse(spec.artifact.target), Owner.of(spec)
    with worker_pool(6, "garbage") as pool:
        folders = pool.submit(stored.look, s3, target, spec.name)
        records = pool.submit(record.newest_of_all, s3, target, spec.name, rules.keep)
        answers = pool.submit(exchanged.older, s3, spec.endpoint, rules.answers_before)
        inputs = pool.submit(lambda: tuple(s3.list(remote_uri(target, spec.name).child(""))))
        seen = pool.submit(hosted.observe_hosted, aws)
        models, unseen = hosted.observe_models(aws)
        unknown = [*seen.result().unknown, *unseen]
        unknown += [
            f"the record of a deployment cannot be read: {location}; a newer sagepack may have written it"
            for each in records.result().values()
            for location, found in each
            if found is None
        ]
        try:
            own_models, own_configs = _own(aws, owner, models)
        except AccessDeniedError as error:
            own_models, own_configs = frozenset[str](), dict[str, OwnConfig]()
            unknown.append(error.message)
        old = [
            upload
            for folder in folders.result()
            for upload in folder.uploads
            if upload.initiated is not None and upload.initiated < rules.before
        ]
        return Facts(
            folders.result(),
            records.result(),
            seen.result(),
            models,
            own_models,
            own_configs,
            answers.result(),
            inputs.result(),
            {upload: sum(part.size for part in s3.parts(upload) or ()) for upload in old},
            tuple(unknown),
        )


def _own(aws: Aws, owner: Owner, models: tuple[Model, ...]) -> tuple[frozenset[str], dict[str, OwnConfig]]:
    """The models and the configurations that belong to `owner`."""
    arns = {model.name: model.arn for model in models}
    own_models = hosted.owned(aws, owner, arns)
    names = hosted.owned(aws, owner, sagemaker.list_endpoint_configs(aws, owner.name_prefix))
    found = {name: sagemaker.describe_endpoint_config(aws, name) for name in names}
    configs = {
        name: OwnConfig(config.description["CreationTime"], frozenset(config.model_names))
        for name, config in found.items()
        if config
    }
    return frozenset(own_models), configs


def judge(facts: Facts, rules: Rules) -> Garbage:
    """What of `facts` nobody needs."""
    uploads = tuple(facts.parts.items())
    inputs = tuple(each for each in facts.job_inputs if each.modified < rules.before)
    if facts.unknown:
        return Garbage(uploads=uploads, exchanged=facts.exchanged, job_inputs=inputs, unknown=facts.unknown)
    deployed = [found for each in facts.records.values() for _, found in each if found]
    kept_configs = set(facts.served.configs) | {found.config for found in deployed}
    configs = tuple(
        name
        for name, config in sorted(facts.own_configs.items())
        if name not in kept_configs and config.created < rules.before
    )
    needed = set(facts.served.models) | {found.model for found in deployed}
    needed |= {model for name, each in facts.own_configs.items() if name not in configs for model in each.models}
    models = tuple(
        model.name
        for model in facts.models
        if model.name in facts.own_models and model.name not in needed and model.created < rules.before
    )
    kept = dict(_needs(facts, rules, set(models)))
    # A folder into which something is uploaded for the first time has nothing in it.
    there = (folder for folder in facts.folders if folder.objects or folder.releases)
    packages = tuple(folder for folder in there if folder.path not in kept)
    notes = tuple(
        note
        for folder in facts.folders
        if folder.path in kept and folder.published
        for note in folder.notes
        if note.modified < rules.before
    )
    return Garbage(packages, configs, models, uploads, facts.exchanged, notes, inputs, kept)


def _needs(facts: Facts, rules: Rules, removed: set[str]) -> Iterator[tuple[str, str]]:
    """Path of a package that something needs, and what; the strongest reason for a package comes last.

    Args:
        facts: what was seen.
        rules: what is kept although nothing uses it.
        removed: models that do not count, since they are removed.
    """
    newest = max((folder for folder in facts.folders if folder.published), key=_published, default=None)
    for folder in facts.folders:
        if folder.changed >= rules.before:
            yield folder.path, "it is young: somebody may be publishing or deploying it"
        if folder is newest:
            yield folder.path, "it is the newest: the next one copies its contents"
    stay = [model for model in facts.models if model.name not in removed]
    idle = [model for model in stay if model.name not in facts.served.models]
    serving = [model for model in stay if model.name in facts.served.models]
    loaded = [*_loaded(idle, facts), *_deployed(facts, rules), *_loaded(serving, facts)]
    for uri, reason in (*loaded, *facts.served.locations.items()):
        yield from ((folder.path, reason) for folder in facts.folders if folder.overlaps(uri))


def _deployed(facts: Facts, rules: Rules) -> Iterator[tuple[str, str]]:
    """URI of the model data of each deployment that is kept, and which deployment it is."""
    one_of = f"one of the newest {rules.keep}" if rules.keep > 1 else "the newest"
    for env, each in sorted(facts.records.items()):
        for _, found in each:
            if found:
                yield found.package, f"deployed to {env} on {found.deployed:%Y-%m-%d %H:%M}, {one_of} there"


def _loaded(models: Iterable[Model], facts: Facts) -> Iterator[tuple[str, str]]:
    """URI of the model data of each model, and which model it is."""
    for model in models:
        use = facts.served.models.get(model.name)
        for uri in model.locations:
            yield uri, f"model {model.name} loads it" + (f", and {use}" if use else "")


def _published(folder: StoredFolder) -> tuple[datetime, str]:
    if folder.published is None:
        raise ValueError(f"{folder.path} was never released")
    return folder.published, folder.path
