"""The files of an export. The same spec, lock and code make the same text, on every machine and at every time.

The app for the CDK is a program that does not change (`sagepack/templates/cdk/`), and the template that it reads.
"""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from sagepack.deploy.export import terraform
from sagepack.deploy.export.cloudformation import stack_name, template
from sagepack.deploy.export.limits import limits
from sagepack.errors import UserError

if TYPE_CHECKING:
    from sagepack.aws.session import Document
    from sagepack.deploy.deployment import Deployment
    from sagepack.spec.model import Spec

MARK = "Made by `sagepack export"
"""Begins a line in every file of an export: one without it was written by somebody else, and is never overwritten."""
_README = "README.md"
_TEMPLATE = "endpoint.template.yaml"
_APP = Path(__file__).parents[2] / "templates" / "cdk"
_APP_TEMPLATE = "endpoint.template.json"
_PROGRAM = ("construct.ts", "include.ts", "app.ts", "template.ts", "tsconfig.json")
_ABOUT_CDK = (
    "- `app.ts` makes one stack, of the account, the region and the variant that stand in `cdk.json`. The account need not be bootstrapped.",
    "- `construct.ts` has `CustomSageMakerEndpoint` and an override with a name for each value that it cannot say; `include.ts` has the",
    "  template as it is. Both take every value from `endpoint.template.json`, by way of `template.ts`.",
    "- For an app of your own, copy one of them, the template, and `template.ts`, whose `templateFile` says where the template is:",
    "  `new ConstructStack(app, 'svd', { env, synthesizer })`, with `env` and `synthesizer` as in `app.ts`.",
    "",
)


@dataclass(frozen=True)
class Exported:
    """The files of an export.

    Attributes:
        mark: stands in each of them and in no file of another export: the format, the spec and the environment.
        files: their texts, by name; the one that counts comes first.
        limits: what they cannot say.
        next: the commands that make what they say, in their folder.
    """

    mark: str
    files: dict[str, str]
    limits: tuple[str, ...]
    next: tuple[str, ...]

    @property
    def main(self) -> str:
        """The text that counts."""
        return next(iter(self.files.values()))


def exported(
    spec: Spec,
    deployment: Deployment,
    tool: str,
    selection: str,
    permissions: Document | None = None,
    *,
    folder: str | None = None,
) -> Exported:
    """The files of one format.

    Args:
        spec: what is exported.
        deployment: what the endpoint should be.
        tool: `cloudformation`, `cdk` or `terraform`.
        selection: the flags that select the spec, for commands: the same on every machine.
        permissions: policy of the execution role, if it is made as well.
        folder: where the files will be, for commands; None for the folder that an export takes by itself.

    Raises:
        UserError: the tool cannot make such an endpoint.
    """
    found = limits(spec, tool, selection, creates_role=permissions is not None)
    flags = [*(["--create-role"] if permissions else []), *([f"--output {folder}"] if folder else []), "--check"]
    check = f"sagepack export --format {tool} {selection} {' '.join(flags)}"
    mark = f"{MARK} --format {tool}` from the spec {spec.name} for {spec.env}: do not edit it, export it again."
    files, commands = _FORMATS[tool](spec, deployment, mark, permissions)
    about = _ABOUT_CDK if tool == "cdk" else ()
    return Exported(mark, {**files, _README: _readme(spec, mark, check, found, commands, about)}, found, commands)


def _cloudformation(
    spec: Spec, deployment: Deployment, mark: str, permissions: Document | None
) -> tuple[dict[str, str], tuple[str, ...]]:
    document = template(deployment, permissions=permissions)
    command = ["aws", "cloudformation", "deploy", "--region", spec.aws.region, "--template-file", _TEMPLATE]
    command += ["--stack-name", stack_name(deployment.owner)]
    command += ["--capabilities", "CAPABILITY_NAMED_IAM"] if permissions else []
    return {_TEMPLATE: f"# {mark}\n{_yaml(document)}"}, (shlex.join(command),)


def _cdk(
    spec: Spec, deployment: Deployment, mark: str, permissions: Document | None
) -> tuple[dict[str, str], tuple[str, ...]]:
    place = {"account": spec.aws.account, "region": spec.aws.region, "stack": stack_name(deployment.owner)}
    settings = {"app": "npx tsc && node dist/app.js", "context": {**place, "variant": "construct"}}
    package = json.loads((_APP / "package.json").read_text(encoding="utf-8"))
    files = {name: f"// {mark}\n{(_APP / name).read_text(encoding='utf-8')}" for name in _PROGRAM}
    files |= {
        _APP_TEMPLATE: _json_template(template(deployment, "cdk", permissions=permissions), mark),
        "cdk.json": _json(settings, mark),
        "package.json": _json(package, mark),
        ".gitignore": f"# {mark}\nnode_modules/\ndist/\ncdk.out/\n",
    }
    return files, ("npm install", "npx cdk deploy")


def _terraform(
    spec: Spec, deployment: Deployment, mark: str, permissions: Document | None
) -> tuple[dict[str, str], tuple[str, ...]]:
    if spec.endpoint.instance_pools:
        fix = "declare endpoint.instance_type for this environment, or export for another tool"
        raise UserError("Terraform's provider knows no instance pools", where="endpoint.instance_pools", fix=fix)
    document = terraform.document(
        template(deployment, "terraform", permissions=permissions),
        model_name=deployment.model_name,
        config_name=deployment.endpoint_config_name,
        account=spec.aws.account,
        region=spec.aws.region,
    )
    return {"main.tf.json": _json(document, mark)}, ("terraform init", "terraform apply")


_FORMATS = {"cloudformation": _cloudformation, "cdk": _cdk, "terraform": _terraform}


def _readme(
    spec: Spec, mark: str, check: str, found: tuple[str, ...], commands: tuple[str, ...], about: tuple[str, ...]
) -> str:
    name = spec.endpoint.name
    return "\n".join(
        [
            f"# The endpoint {name}",
            "",
            mark,
            f"`{check}` says whether the spec has changed since (exit code 2).",
            "",
            *(f"    {command}" for command in commands),
            "",
            *about,
            f"What this makes is changed here alone: `sagepack deploy`, `promote`, `rollback` and `destroy` refuse to touch {name} as long",
            "as it has the tag `sagepack:managed-by`. `predict`, `status`, `logs`, `wake`, `sleep` and `verify` work as ever.",
            "",
            "## What it does not do",
            "",
            *(f"- {each}" for each in found),
            "",
        ]
    )


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc] # which of the two is known at run time
    """Writes what occurs twice twice: CloudFormation knows no aliases (user guide, "Template formats")."""

    def ignore_aliases(self, _data: Any) -> bool:
        """Whether a value is written out wherever it occurs."""
        return True


# A reader of YAML 1.2 takes 1e3 for a number and 0o17 for another one, a strict one of YAML 1.1 takes `y` for true. PyYAML, which reads
# both as text, would write them without quotes.
_Dumper.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("[yYnN]$"), "yYnN")
_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)?$"), "-+.0123456789"
)
_Dumper.add_implicit_resolver("tag:yaml.org,2002:int", re.compile("0o[0-7]+$"), "0")


def _yaml(document: Document) -> str:
    return str(yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120))


def _json(document: Document, mark: str) -> str:
    """JSON, in which `//` is what others take for a comment."""
    return _indented({"//": mark, **document})


def _json_template(template: Document, mark: str) -> str:
    """A template as JSON: CloudFormation refuses a section that it does not know, so the comment is in the one for such things."""
    return _indented({**template, "Metadata": {"Comment": mark, **template["Metadata"]}})


def _indented(document: Document) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
