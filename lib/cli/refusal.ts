/** What a user can mend: a command that is wrong, or files that do not fit. */
export class Refusal extends Error {}
