import * as fs from 'node:fs';
import * as path from 'node:path';

/** Any value of a CloudFormation template. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type Value = any;

export interface Resource {
  readonly Type: string;
  readonly Condition?: string;
  readonly DependsOn?: string[];
  readonly DeletionPolicy?: 'Retain';
  readonly UpdateReplacePolicy?: 'Retain';
  readonly Properties: Record<string, Value>;
}

export interface Template {
  readonly Description: string;
  readonly Parameters?: Record<string, { Type: string; Default: string; AllowedValues: string[]; Description: string }>;
  readonly Resources: Record<string, Resource>;
}

/** The template that `sagepack export` writes: every value of the endpoint. Compiled files lie one folder below it. */
export const templateFile = path.join(__dirname, '..', 'endpoint.template.json');

export const template: Template = JSON.parse(fs.readFileSync(templateFile, 'utf8'));
