/** How much is tried where trying all is not possible: `npm test`, CI (CI=true), `npm run soak`. */
export const effort: 'quick' | 'ci' | 'soak' =
  process.env['SOAK'] === 'true' ? 'soak' : process.env['CI'] === 'true' ? 'ci' : 'quick';
