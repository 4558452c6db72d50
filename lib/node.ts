/** The part of tfjs-swa that needs Node, name by name: `tfjs-swa/node`. */
export { fileSystem, type FileSystemOptions } from './file_system.js';
